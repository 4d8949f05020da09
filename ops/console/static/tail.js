// The live tail: a few times a second, a piece with the newest events arrives; other events are only counted.
"use strict";
(() => {
  const list = document.getElementById("tail");
  const line = document.getElementById("tail-line").content.firstElementChild;
  const pause = document.querySelector("[data-pause]");
  const MAXIMUM_LINES = 200;
  let seen = null, total = 0, skipped = 0, paused = false, missed = 0;

  const amount = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");
  const say = (id, text) => {
    const place = document.getElementById(id);
    if (place.textContent !== text) place.textContent = text;
  };
  function tell() {
    say("tail-seen", amount(total));
    say("tail-skipped", amount(skipped));
  }

  function show(event) {
    const item = line.cloneNode(true);
    const at = new Date(event.at).toISOString();
    const time = item.querySelector("time");
    time.dateTime = time.title = at;
    time.textContent = at.slice(11, 23);
    const link = item.querySelector(".row-link");
    link.href += event.position;
    const parts = event.type.split(".");
    link.textContent = (parts.length > 2 ? parts[parts.length - 2] : event.type).replaceAll("_", " ");
    const stream = item.querySelector(".stream");
    stream.href += encodeURIComponent(event.stream);
    // Lines may break at the same places as on the page (`breakable` in rendering.py).
    const names = event.stream.split(/(?<=[._/:@])(?!$)/);
    stream.replaceChildren(...names.flatMap((part, place) => place ? [document.createElement("wbr"), part] : [part]));
    item.querySelector(".actor").textContent = event.actor || "";
    item.querySelector(".position").textContent = amount(event.position);
    return item;
  }

  const source = new EventSource(list.dataset.tail);
  source.addEventListener("begin", (event) => {
    // Has the events since the page was made, or since the connection was lost.
    const begin = JSON.parse(event.data);
    seen = begin.seen;
    add(begin.lines, begin.missed);
    say("tail-state", paused ? "paused" : "live");
  });
  source.addEventListener("piece", (event) => {
    const piece = JSON.parse(event.data);
    const count = piece.seen - seen;
    seen = piece.seen;
    add(piece.lines, count);
  });
  // Adds `count` new events. `lines` begin with the newest of them, and may end with some that are known already.
  function add(lines, count) {
    total += count;
    const shown = paused ? 0 : Math.min(lines.length, count);
    skipped += count - shown;
    if (paused) {
      missed += count;
      pause.textContent = `Go on (${amount(missed)} new)`;
    } else {
      list.prepend(...lines.slice(0, shown).map(show));
      while (list.childElementCount > MAXIMUM_LINES) list.lastElementChild.remove();
    }
    tell();
  }
  source.addEventListener("error", () => {
    say("tail-state", source.readyState === EventSource.CLOSED ? "ended; load the page again" : "the connection is lost, trying again");
  });

  pause.addEventListener("click", () => {
    paused = !paused;
    missed = 0;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    say("tail-state", paused ? "paused" : "live");
  });
  addEventListener("pagehide", () => source.close());
})();
