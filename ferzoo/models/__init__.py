"""The networks: one file a family, and one base that holds timm's contract."""
