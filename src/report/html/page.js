'use strict';

// Tables: a button in each heading sorts by its column.
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const numbers = head.classList.contains('n');
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    const key = row => numbers ? Number(row.cells[column].dataset.value) : row.cells[column].textContent;
    const compare = numbers ? (a, b) => a - b : new Intl.Collator('en', { numeric: true }).compare;
    button.addEventListener('click', () => {
      const before = head.getAttribute('aria-sort');
      const ascending = before ? before === 'descending' : !numbers;
      const rows = [...body.rows].map(row => [key(row), row]);
      rows.sort((a, b) => ascending ? compare(a[0], b[0]) : compare(b[0], a[0]));
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
      body.append(...rows.map(row => row[1]));
    });
  });
}

// Maps: the title of what is pointed at or focused, below the map.
for (const map of document.querySelectorAll('.map')) {
  const line = map.querySelector('.now');
  const hint = line.textContent;
  const show = event => {
    const cell = event.target.closest('.c');
    line.textContent = cell ? cell.querySelector('title').textContent : hint;
  };
  map.addEventListener('mouseover', show);
  map.addEventListener('focusin', show);
  map.addEventListener('mouseleave', () => { line.textContent = hint; });
}
