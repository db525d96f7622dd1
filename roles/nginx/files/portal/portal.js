// The state of each service, as Prometheus sees it: the share of its targets that answer. The page says
// all it has to without this; what cannot be read is never shown as it was before.
"use strict";

const EVERY_SECONDS = 30;
const WORDS = { up: "Up", partly: "Partly up", down: "Down", unknown: "Unknown" };

function stateOf(share) {
  if (share === undefined || Number.isNaN(share)) {
    return "unknown";
  }
  return share === 1 ? "up" : share === 0 ? "down" : "partly";
}

async function readShares() {
  // A relative URL would carry the name and password that somebody put into the bookmark, which fetch() refuses.
  const url = new URL("/portal/state", location.origin);
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (!answer.ok) {
    throw new Error(`status ${answer.status}`);
  }
  const { data } = await answer.json();
  return new Map(data.result.map((series) => [series.metric.job, Number(series.value[1])]));
}

function show(shares) {
  const count = { down: 0, partly: 0, unknown: 0, up: 0 };
  for (const card of document.querySelectorAll("li[data-job]")) {
    const state = stateOf(shares.get(card.dataset.job));
    const shown = card.querySelector(".state");
    shown.dataset.state = state;
    shown.textContent = WORDS[state];
    shown.hidden = false;
    count[state] += 1;
  }
  const total = count.up + count.partly + count.down + count.unknown;
  const summary = document.getElementById("summary");
  summary.hidden = total === 0;
  summary.textContent = count.up === total ? "Everything that is watched is up." : Object.entries(count)
    .filter(([, number]) => number > 0)
    .map(([state, number]) => `${number} ${WORDS[state].toLowerCase()}`)
    .join(", ") + ".";
}

async function refresh() {
  const problem = document.getElementById("problem");
  const read = document.getElementById("read");
  const now = new Date().toLocaleTimeString();
  try {
    show(await readShares());
    problem.textContent = "";
    read.textContent = `States from Prometheus at ${now}, read every ${EVERY_SECONDS} seconds.`;
  } catch (error) {
    show(new Map());
    document.getElementById("summary").hidden = true;
    problem.textContent = "The states could not be read: Prometheus gave no answer.";
    read.textContent = `Tried at ${now} (${error.message}), again in ${EVERY_SECONDS} seconds.`;
  }
  read.hidden = false;
}

if ("states" in document.body.dataset) {
  refresh();
  setInterval(refresh, EVERY_SECONDS * 1000);
}
