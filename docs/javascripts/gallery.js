// Tables whose columns sort, and the figures of a plot's points. Without this script the page says the same.
(function () {
  "use strict";

  function key(row, column) {
    var cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
  }

  function sort(table, header) {
    var headers = Array.from(table.tHead.rows[0].cells);
    var column = headers.indexOf(header);
    var down = header.getAttribute("aria-sort") === "ascending";
    var numbers = header.dataset.type === "number";
    var body = table.tBodies[0];
    var rows = Array.from(body.rows);
    rows.sort(function (one, other) {
      var a = key(one, column), b = key(other, column);
      if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stays last
      var order = numbers ? a - b : a.localeCompare(b);
      return down ? -order : order;
    });
    rows.forEach(function (row) { body.appendChild(row); });
    headers.forEach(function (other) { other.removeAttribute("aria-sort"); });
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  function sortable(table) {
    Array.from(table.tHead.rows[0].cells).forEach(function (header) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.addEventListener("click", function () { sort(table, header); });
      header.replaceChildren(button);
    });
    sort(table, table.tHead.rows[0].cells[0]);
  }

  function tooltips(plot) {
    var tip = document.createElement("div");
    tip.className = "fz-tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true"); // each point's label says the same
    plot.appendChild(tip);
    function hide() { tip.hidden = true; }
    function show(point) {
      var mark = point.querySelector("path").getBoundingClientRect(), frame = plot.getBoundingClientRect();
      tip.textContent = point.getAttribute("aria-label");
      tip.hidden = false;
      var left = mark.left + mark.width / 2 - frame.left - tip.offsetWidth / 2;
      var above = mark.top - frame.top - tip.offsetHeight - 8;
      tip.style.left = Math.max(0, Math.min(left, frame.width - tip.offsetWidth)) + "px";
      tip.style.top = (above < 0 ? mark.bottom - frame.top + 8 : above) + "px";
    }
    plot.querySelectorAll(".fz-point").forEach(function (point) {
      point.querySelector("title").remove(); // the browser would show it over the tip
      ["mouseenter", "focus", "click"].forEach(function (name) {
        point.addEventListener(name, function () { show(point); });
      });
      ["mouseleave", "blur"].forEach(function (name) { point.addEventListener(name, hide); });
    });
    document.addEventListener("keydown", function (event) { if (event.key === "Escape") hide(); });
  }

  function start() {
    document.querySelectorAll("table[data-sortable]").forEach(sortable);
    document.querySelectorAll(".fz-plot").forEach(tooltips);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
