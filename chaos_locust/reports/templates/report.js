"use strict";
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const box = document.getElementById("box");
  const svg = box.querySelector("svg");
  const cross = document.getElementById("cross");
  const mark = document.getElementById("mark");
  const tip = document.getElementById("tip");
  const left = Number(svg.dataset.left), right = Number(svg.dataset.right);
  const length = Number(svg.dataset.length), width = svg.viewBox.baseVal.width;
  const toX = (t) => left + (t / length) * (right - left);
  let chosen = -1;

  const clock = (t) => {
    const s = String(Math.floor(t % 60)).padStart(2, "0"), m = Math.floor(t / 60) % 60, h = Math.floor(t / 3600);
    return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
  };
  const ms = (v) => v === null ? "-" : v < 0 ? "infinite"
    : v < 1 ? `${(v * 1000).toPrecision(3)} us` : v < 1000 ? `${Number(v.toPrecision(3))} ms` : `${Number((v / 1000).toPrecision(3))} s`;

  function line(name, value) {
    const row = document.createElement("div");
    for (const text of [name, value]) {
      const cell = document.createElement("span");
      cell.textContent = text;
      row.append(cell);
    }
    tip.append(row);
  }

  function show(index) {
    if (!points.length) return;
    chosen = Math.max(0, Math.min(points.length - 1, index));
    const [start, span, offered, completed, never, p50, p95, p99, service, errors] = points[chosen];
    const x = toX(start + span / 2);
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    cross.style.opacity = 0.7;
    tip.replaceChildren();
    const head = document.createElement("b");
    head.textContent = span > 1 ? `${clock(start)} to ${clock(start + span)}, worst second` : `${clock(start)}`;
    tip.append(head);
    line("offered", `${offered}/s`);
    line("completed", `${completed}/s`);
    if (never) line("dropped", `${never}/s`);
    line("p50", ms(p50));
    line("p95", ms(p95));
    line("p99", ms(p99));
    line("service p99", ms(service));
    for (const [kind, count] of errors) line(kind, `${count}/s`);
    for (const stripe of svg.querySelectorAll("[data-fault]")) {
      if (Number(stripe.dataset.from) < start + span && start < Number(stripe.dataset.to)) line("fault", stripe.dataset.fault);
    }
    const scale = svg.getBoundingClientRect().width / width;
    const flip = x > (left + right) / 2;
    const place = (svg.getBoundingClientRect().left - box.getBoundingClientRect().left) + x * scale;
    tip.style.transform = `translate(calc(${place}px ${flip ? "- 100% - 14px" : "+ 14px"}), 74px)`;
    tip.style.opacity = 1;
  }
  function hide() {
    chosen = -1;
    cross.style.opacity = 0;
    tip.style.opacity = 0;
  }

  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect();
    const x = (event.clientX - area.left) * width / area.width;
    if (x < left || x > right || !points.length) return hide();
    show(Math.floor((x - left) / (right - left) * length / points[0][1]));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (event.key === "Escape") return hide();
    if (step === undefined) return;
    event.preventDefault();
    show(chosen < 0 ? 0 : chosen + step);
  });
  for (const link of document.querySelectorAll("a[data-from]")) {
    link.addEventListener("click", () => {
      const from = toX(Number(link.dataset.from)), to = toX(Number(link.dataset.to));
      mark.setAttribute("x", from);
      mark.setAttribute("width", Math.max(3, to - from));
      mark.classList.add("on");
    });
  }
  window.addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
})();
