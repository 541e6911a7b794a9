// Tables that sort: each head becomes a button. Without this script the page shows the same.
for (const table of document.querySelectorAll("table.efaas")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const isUp = head.getAttribute("aria-sort") !== "ascending";
      const value = (row) => {
        const cell = row.cells[column];
        if (!cell.classList.contains("number")) return cell.textContent;
        return cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);
      };
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (typeof x === "string") return x.localeCompare(y, undefined, { numeric: true });
        if (Number.isNaN(x)) return Number.isNaN(y) ? 0 : isUp ? 1 : -1;  // empty ones come last
        return Number.isNaN(y) ? (isUp ? -1 : 1) : x - y;
      };
      const rows = [...body.rows].sort((a, b) => (isUp ? compare(a, b) : compare(b, a)));
      body.replaceChildren(...rows);
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    });
  });
}
