"""What the site is made with: tables from the code, equations as MathML; no part of the package."""
