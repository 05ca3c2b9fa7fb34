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

function end(card) {
  card.classList.add("ended");
  const badge = card.querySelector(".badge");
  badge.textContent = "ended";
  badge.classList.remove("on");
  card.querySelector("output").textContent = "0";
  card.querySelector(".expires").textContent = "It has ended; what you do next begins another one.";
  // The default session is the one that logs in.
  if (card.id === "default") document.querySelectorAll("[data-login]").forEach((element) => { element.hidden = true; });
}

for (const countdown of document.querySelectorAll("time[data-countdown]")) {
  const endsAt = Date.parse(countdown.dateTime);
  const tick = () => {
    const seconds = Math.ceil((endsAt - Date.now()) / 1000);
    countdown.textContent = remaining(Math.max(seconds, 0));
    if (seconds <= 0) {
      clearInterval(ticking);
      end(countdown.closest(".card"));
    }
  };
  const ticking = setInterval(tick, 1000);
  tick();
}
