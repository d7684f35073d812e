"use strict";

// The tooltip of a time has it in the time zone of the browser.
for (const time of document.querySelectorAll("time[datetime]")) {
  const local = new Date(time.dateTime);
  time.title = local.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

// Requested times are repeated in the time zone of the browser, unless that is UTC.
for (const time of document.querySelectorAll(".both > time")) {
  const local = new Date(time.dateTime);
  if (local.getTimezoneOffset() === 0) continue;
  time.after(` = ${local.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })}`);
}

const columns = [...document.querySelectorAll(".columns a")];
const lanes = [...document.querySelectorAll(".names li")];
const detail = document.getElementById("detail");

function replicas(lane, column) {
  let now = 0;
  for (const step of lane.dataset.steps.split(" ")) {
    const [from, count] = step.split(":").map(Number);
    if (from > column) break;
    now = count;
  }
  return now;
}

function describe(link, lane) {
  const column = columns.indexOf(link);
  if (column < 0) return;
  let text = link.querySelector("title").textContent;
  for (const other of lanes) other.classList.toggle("here", other === lane);
  if (lane) {
    const count = replicas(lane, column);
    const name = lane.querySelector(".label").textContent;
    const runs = count === 0 ? "does not run" : count === 1 ? "1 replica" : `${count} replicas`;
    text = `${name}: ${runs} in ${text}`;
  }
  detail.textContent = text;
  detail.classList.add("full");
}

// A timeline that is wider than its container shows the latest snapshots first.
const scroll = document.querySelector(".scroll");
if (scroll) scroll.scrollLeft = scroll.scrollWidth;

// The text below the timeline describes what the pointer or the focus is on.
// The listeners are not on the SVG, which would become focusable itself.
const timeline = document.querySelector(".scroll");
if (timeline && detail) {
  timeline.addEventListener("pointermove", (event) => {
    const lane = lanes.find((lane) => {
      const { top, bottom } = lane.getBoundingClientRect();
      return event.clientY >= top && event.clientY < bottom;
    });
    describe(event.target.closest(".columns a"), lane);
  });
  timeline.addEventListener("focusin", (event) => {
    describe(event.target.closest(".columns a"), lanes[lane]);
  });
}

// Tables that are wider than their containers say so.
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    target.classList.toggle("overflows", target.scrollWidth > target.clientWidth + 1);
  }
});
for (const wide of document.querySelectorAll(".wide")) observer.observe(wide);

// The arrow keys move in the timeline between snapshots (left, right) and artifacts (up, down), and
// elsewhere from page to page.
let lane = -1;
if (timeline && detail) {
  detail.textContent += " With the keyboard, the arrow keys move between snapshots and artifacts.";
  timeline.addEventListener("focusout", (event) => {
    if (!timeline.contains(event.relatedTarget)) lane = -1;
  });
}
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const column = event.target.closest(".columns a");
  const vertical = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (vertical && column && lanes.length > 0) {
    event.preventDefault();
    lane = Math.min(Math.max(lane + vertical, 0), lanes.length - 1);
    describe(column, lanes[lane]);
    return;
  }
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.target.closest("input, select, textarea, [role=region]:not(.scroll)")) return;
  const at = columns.indexOf(column);
  if (at >= 0) {
    event.preventDefault();
    columns[at + by]?.focus();
    return;
  }
  if (event.target.closest(".scroll")) return;
  const adjacent = document.querySelector(by < 0 ? "link[rel=prev]" : "link[rel=next]");
  if (adjacent) location.assign(adjacent.href);
});
