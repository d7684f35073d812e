"use strict";

// Every time says on pointing at it what it is on the reader's own clock.
for (const time of document.querySelectorAll("time[datetime]")) {
  const here = new Date(time.dateTime);
  time.title = here.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

const columns = [...document.querySelectorAll(".columns a")];
const lanes = [...document.querySelectorAll(".names li")];
const detail = document.getElementById("detail");

// How many replicas a lane has in a column.
function replicas(lane, column) {
  let now = 0;
  for (const step of lane.dataset.steps.split(" ")) {
    const [from, count] = step.split(":").map(Number);
    if (from > column) break;
    now = count;
  }
  return now;
}

function tell(link, lane) {
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

// Where the picture is wider than its place, the latest is what is looked for first.
const scroll = document.querySelector(".scroll");
if (scroll) scroll.scrollLeft = scroll.scrollWidth;

// What is pointed at in the picture is told beneath it.
const picture = document.querySelector(".picture");
if (picture && detail) {
  picture.addEventListener("pointermove", (event) => {
    const lane = lanes.find((lane) => {
      const { top, bottom } = lane.getBoundingClientRect();
      return event.clientY >= top && event.clientY < bottom;
    });
    tell(event.target.closest(".columns a"), lane);
  });
  picture.addEventListener("focusin", (event) => tell(event.target.closest(".columns a"), null));
}

// The arrows lead from snapshot to snapshot: within the picture, and from page to page.
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.target.closest("input, select, textarea, [role=region]:not(.scroll)")) return;
  const at = columns.indexOf(event.target.closest(".columns a"));
  if (at >= 0) {
    event.preventDefault();
    columns[at + by]?.focus();
    return;
  }
  if (event.target.closest(".scroll")) return;
  const beside = document.querySelector(by < 0 ? "link[rel=prev]" : "link[rel=next]");
  if (beside) location.assign(beside.href);
});
