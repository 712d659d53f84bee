'use strict';
// Pulls one picture after the other: a slow screen gets fewer of them, never old ones.

const $ = (id) => document.getElementById(id);
const view = { number: -1, first: 0, last: -1, still: false, paused: false, finished: false, gone: false, blob: null };

function say(text) {
  if ($('message').textContent !== text) $('message').textContent = text;
}

function note(state) {
  view.first = state.first;
  view.last = state.last;
  view.finished = state.finished;
  $('title').textContent = state.title;
  document.title = state.title + ' · landmarks';
  $('rate').textContent = state.rate === null ? '–' : state.rate.toFixed(1);
  $('previous').disabled = view.number <= view.first;
  $('next').disabled = view.number >= view.last;
  if (view.gone) return;
  if (view.last < 0) say(view.finished ? 'The run has ended without a picture' : 'Waiting for the first picture');
  else if (view.still) say(`Picture ${view.number + 1} of ${view.last + 1}` + (view.finished ? '' : ', more are coming'));
  else if (view.finished) say('The run has ended: this is its last picture');
  else say(view.paused ? 'Paused' : 'Live');
}

function cells(face) {
  const row = document.createElement('tr');
  const figures = [[face.id, 0], [face.score, 2], [face.yaw, 1], [face.pitch, 1], [face.roll, 1]];
  for (const [value, digits] of figures) {
    const cell = document.createElement('td');
    cell.textContent = typeof value === 'number' ? value.toFixed(digits) : '–';
    row.append(cell);
  }
  return row;
}

async function display(state, blob) {
  const old = $('picture').src;
  view.blob = blob;
  view.number = state.number;
  view.still = state.still;
  $('picture').src = URL.createObjectURL(blob);
  $('picture').hidden = false;
  try { await $('picture').decode(); } catch { /* the next one may be whole */ }
  if (old) URL.revokeObjectURL(old);
  const count = state.faces.length;
  $('picture').alt = `${state.name} with landmarks of ${count} ${count === 1 ? 'face' : 'faces'}`;
  $('caption').textContent = state.name;
  $('age').textContent = state.age_ms === null ? 'not live' : `${state.age_ms.toFixed(0)} ms`;
  $('time').textContent = state.time_ms === null ? 'still image' : `${(state.time_ms / 1000).toFixed(2)} s`;
  $('size').textContent = `${state.size[0]} × ${state.size[1]}`;
  $('count').textContent = String(count);
  $('faces').hidden = count === 0;
  $('faces').tBodies[0].replaceChildren(...state.faces.map(cells));
  for (const id of ['previous', 'next']) $(id).hidden = !view.still;
  $('pause').hidden = view.still;
  note(state);
}

async function fetched(query) {
  const answer = await fetch('picture?' + query, { cache: 'no-store' });
  const state = JSON.parse(answer.headers.get('Lmdeploy-State'));
  if (answer.status === 200) await display(state, await answer.blob());
  else note(state);
}

const pause_ms = (ms) => new Promise((done) => setTimeout(done, ms));

async function begin() {
  let state = { last: -1 };
  while (state.last < 0 && !state.finished) {
    state = await (await fetch('state?after=-1', { cache: 'no-store' })).json();
    note(state);
  }
  if (state.still) await fetched(`number=${state.first}`);
}

async function follow() {
  try { await begin(); } catch { /* told below */ }
  while (!view.gone) {
    try {
      if (view.still) note(await (await fetch(`state?after=${view.last}`, { cache: 'no-store' })).json());
      else if (!view.paused) await fetched(`after=${view.number}`);
      if (view.paused || view.finished) await pause_ms(500);
    } catch {
      view.gone = true;
      for (const id of ['pause', 'stop', 'previous', 'next']) $(id).disabled = true;
      say('The run is over and has closed this view');
    }
  }
}

async function turn(step) {
  const wanted = Math.min(Math.max(view.number + step, view.first), view.last);
  if (view.still && !view.gone && wanted !== view.number) await fetched(`number=${wanted}`);
}

function toggle() {
  if (view.still || view.gone) return;
  view.paused = !view.paused;
  $('pause').setAttribute('aria-pressed', String(view.paused));
  say(view.paused ? 'Paused' : 'Live');
}

function save() {
  if (view.blob === null) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(view.blob);
  link.download = $('caption').textContent.replace(/\.[^.]*$/, '') + '.jpg';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$('pause').addEventListener('click', toggle);
$('snapshot').addEventListener('click', save);
$('stop').addEventListener('click', () => fetch('stop', { method: 'POST' }).catch(() => {}));
$('previous').addEventListener('click', () => turn(-1));
$('next').addEventListener('click', () => turn(1));
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const action = { p: toggle, s: save, ArrowLeft: () => turn(-1), ArrowRight: () => turn(1) }[event.key];
  if (action) action();
});
follow();
