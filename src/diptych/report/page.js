"use strict";

// Before and after: the pointer moves the handle; the arrow keys move the range input inside the frame.
for (const frame of document.querySelectorAll(".compare")) {
  const range = frame.querySelector("input");
  const show = () => frame.style.setProperty("--at", range.value + "%");
  const follow = (event) => {
    const box = frame.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  frame.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
  range.addEventListener("input", show);
  show();
}

// Over time: the slider selects the sample grid.
const time = document.getElementById("time");
if (time) {
  const grids = [...document.querySelectorAll("#grids img")];
  const show = () => {
    grids.forEach((grid, index) => { grid.hidden = index !== Number(time.value); });
    const at = grids[time.value].dataset.at + " pictures";
    time.setAttribute("aria-valuetext", at);
    time.parentElement.querySelector("output").textContent = at;
  };
  time.addEventListener("input", show);
  show();
}

// Charts: the legend shows the values under the pointer, otherwise the last ones.
const short = (value) => {
  if (Math.abs(value) >= 1e6) return Number((value / 1e6).toPrecision(3)) + "M";
  if (Math.abs(value) >= 1e4) return Number((value / 1e3).toPrecision(3)) + "k";
  return String(Number(value.toPrecision(3)));
};
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg");
  const cursor = chart.querySelector(".cursor");
  const outputs = [...chart.querySelectorAll("output")];
  const before = outputs.map((output) => output.textContent);
  const { left, right, end } = chart.dataset;
  const lines = JSON.parse(chart.dataset.lines);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const fraction = ((event.clientX - box.left) / box.width - left) / (right - left);
    const target = Math.min(1, Math.max(0, fraction)) * end;
    const distance = (point) => Math.abs(point[0] - target);
    const nearest = lines.map((line) => line.points.reduce((best, point) => (distance(point) < distance(best) ? point : best)));
    const x = svg.viewBox.baseVal.width * (Number(left) + ((right - left) * nearest[0][0]) / end);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    outputs.forEach((output, index) => { output.textContent = short(nearest[index][1]); });
    chart.querySelector(".at").textContent = "at " + nearest[0][0].toLocaleString("en");
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    outputs.forEach((output, index) => { output.textContent = before[index]; });
    chart.querySelector(".at").textContent = "";
  });
}

// The age of the page.
for (const written of document.querySelectorAll("time")) {
  const minutes = (Date.now() - Date.parse(written.dateTime)) / 60000;
  const [size, unit] = minutes < 90 ? [1, "minute"] : minutes < 60 * 36 ? [60, "hour"] : [60 * 24, "day"];
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.round(minutes / size), unit);
  written.append(` (${ago})`);
}

// Copy buttons, if the browser allows them on a page from disk.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll(".code button")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        button.hidden = true;
      }
    });
  }
}
