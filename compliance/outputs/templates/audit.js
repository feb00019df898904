'use strict';
(() => {
  const fields = ['text', 'state', 'severity', 'group'].map(name => document.getElementById(name));
  const [text, state, severity, group] = fields;
  const rows = [...document.querySelectorAll('[data-filtered]')];
  const words = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
  const matches = row =>
    words.get(row).includes(text.value.trim().toLowerCase()) &&
    [[state, 'state'], [severity, 'severity'], [group, 'group']].every(
      ([field, name]) => !field.value || row.dataset[name].split('|').includes(field.value));
  const filter = () => {
    for (const row of rows) row.hidden = !matches(row);
    const count = kind => {
      const all = rows.filter(row => row.tagName === kind);
      return `${all.filter(row => !row.hidden).length} of ${all.length}`;
    };
    document.getElementById('shown').textContent = `${count('ARTICLE')} failed checks, ${count('TR')} controls`;
  };
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === 'DETAILS') target.open = true;
  };
  for (const field of fields) field.addEventListener('input', filter);
  document.querySelector('.filters').addEventListener('submit', event => event.preventDefault());
  addEventListener('hashchange', open);
  filter();
  open();
})();
