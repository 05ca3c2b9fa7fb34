// Count down what the server has rendered; without this the page just stands still.
"use strict";

const units = [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function remaining(seconds) {
  const parts = [];
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    seconds %= length;
    if (count || parts.length) parts.push(count ? `${count} ${unit}${unit === "day" && count !== 1 ? "s" : ""}` : "");
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ") || "0 s";
}

const countdowns = document.querySelectorAll("time[data-countdown]");
for (const countdown of countdowns) {
  const end = Date.parse(countdown.dateTime);
  const tick = () => {
    const seconds = Math.ceil((end - Date.now()) / 1000);
    countdown.textContent = remaining(Math.max(seconds, 0));
    countdown.classList.toggle("over", seconds <= 0);
  };
  tick();
  setInterval(tick, 1000);
}
