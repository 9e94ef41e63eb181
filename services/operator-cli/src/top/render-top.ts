import type { AuditEvent, StatusAnswer } from '@isobar/protocol';
import { openAlarms } from '../alarms.js';
import { swapLine } from '../commands/render-progress.js';
import { troubles } from '../commands/render-status.js';
import { fit, oneLine } from '../drawing/fit.js';
import { nodeRows, rankRows } from '../drawing/rank-rows.js';
import { sparkline } from '../drawing/sparkline.js';
import { bar, counted, optional, seconds } from '../table.js';
import type { Paint } from '../terminal/paint.js';
import { isByNode, type TopState } from './top-state.js';

/** Room for a frame; without rows it is as long as what there is to say. */
export interface FrameSize {
  readonly columns: number;
  readonly rows: number | null;
}

const sparkWidthMax = 40;
const troublesMax = 3;
const alarmsMax = 3;
const layersMax = 4;
/** A title and some events. */
const eventsMin = 4;
const eventsTold = 20;
/** A title, a heading and some ranks are shown before anything below them. */
const listRowsMin = 7;

/** One frame: no line is wider than the screen, and there are as many as it has rows. */
export function renderTop(state: TopState, size: FrameSize, paint: Paint): string[] {
  const { columns, rows } = size;
  const header = headerOf(state, paint, columns);
  const keys = keysOf(state, paint);
  const bodyRows = rows === null ? null : Math.max(0, rows - header.length - 1);
  const body = state.isHelping ? helpLines : bodyOf(state, columns, bodyRows, paint);
  const shown = bodyRows === null ? body : filled(body, bodyRows);
  return [...header, ...shown, ...(rows === null ? [] : [keys])]
    .slice(0, rows ?? undefined)
    .map((line) => fit(line, columns));
}

function filled(lines: readonly string[], rows: number): string[] {
  return Array.from({ length: rows }, (_, row) => lines[row] ?? '');
}

function headerOf(state: TopState, paint: Paint, columns: number): string[] {
  const { status, trouble, deployment, nowMs, answeredAtMs } = state;
  const clock = new Date(nowMs).toISOString().slice(11, 19);
  const title = `${paint('bold', `isobar top  ${deployment}`)}  ${clock} UTC`;
  const lines = [title];
  if (trouble !== null) {
    const ago = answeredAtMs === null ? '' : `; below: ${seconds(nowMs - answeredAtMs)} ago`;
    lines.push(paint('red', oneLine(`${trouble}${ago}`)));
  }
  if (status === null) {
    return trouble === null ? [...lines, 'waiting for the first answer'] : lines;
  }
  const { leader, mapping, mode, paused, swaps } = status;
  const steered = `${mode}${paused ? ', PAUSED' : ''}`;
  lines[0] += `  led by ${oneLine(leader.holder)} (term ${leader.term}, renewed ${seconds(leader.renewedAgoMs)} ago)`;
  lines.push(
    `mode ${paint(paused ? 'yellow' : 'bold', steered)}  version ${paint('bold', String(mapping.version))}  ${mapping.layers} layers, ${mapping.logicalExperts} experts in ${mapping.physicalExperts} slots on ${mapping.ranks} ranks  swaps ${swaps.committed} committed, ${swaps.void} void`,
    loadLine(state, status, paint, columns),
    swapSummary(status, paint),
    ...troubles(status)
      .slice(0, troublesMax)
      .map((line) => paint('yellow', oneLine(line))),
    ...alarmLines(state, paint),
  );
  return lines;
}

function loadLine(
  { balancedness: seen }: TopState,
  { load }: StatusAnswer,
  paint: Paint,
  columns: number,
): string {
  const told = [
    `balancedness ${paint('bold', optional(load.balancedness, 3))}`,
    `imbalance ${optional(load.imbalance, 2)}`,
    `step ${optional(load.meanStepMillis, 1)} ms`,
  ];
  if (seen.length > 1) {
    const range = `${Math.min(...seen).toFixed(2)}-${Math.max(...seen).toFixed(2)}`;
    const width = Math.min(sparkWidthMax, Math.max(0, columns - 72));
    if (width > 4) told.splice(1, 0, `${paint('cyan', sparkline(seen, width))} ${range}`);
  }
  return told.join('  ');
}

function swapSummary(status: StatusAnswer, paint: Paint): string {
  const line = swapLine(status, paint);
  if (line !== null)
    return `swap ${line}  ${counted(status.swap?.wavesWaiting ?? 0, 'wave')} waiting`;
  const { pendingPlan, history } = status;
  if (pendingPlan !== null) {
    const { id, moves, balancedness } = pendingPlan;
    const gain = `${balancedness.before.toFixed(3)} → ${balancedness.after.toFixed(3)}`;
    return `swap none  ${paint('yellow', `plan ${id} waits for approval: ${moves} moves, ${gain}`)}`;
  }
  const last = history.at(-1);
  if (last === undefined) return 'swap none';
  const measured = last.measuredBalancedness;
  const gain =
    measured === null
      ? `${last.plan.balancedness.after.toFixed(3)} predicted`
      : `${measured.before.toFixed(3)} → ${measured.after.toFixed(3)} measured`;
  return `swap none  last plan ${last.outcome}: ${last.plan.moves} moves, ${gain}`;
}

function alarmLines({ events, nowMs }: TopState, paint: Paint): string[] {
  return openAlarms(events)
    .slice(-alarmsMax)
    .map(({ alarm, atMs, event }) => {
      const told = detailsOf(event);
      return paint('red', oneLine(`alarm ${alarm} ${ago(nowMs - atMs)} ago: ${told}`));
    });
}

function ago(millis: number): string {
  const whole = Math.max(0, Math.round(millis / 1_000));
  if (whole < 120) return `${whole} s`;
  return whole < 7_200 ? `${Math.round(whole / 60)} min` : `${Math.round(whole / 3_600)} h`;
}

function bodyOf(state: TopState, columns: number, rows: number | null, paint: Paint): string[] {
  const { status } = state;
  if (status === null) return [];
  const layers = layerLines(status, paint);
  const events = eventLines(state, paint);
  if (rows === null) return [...listOf(state, status, columns, null, paint), ...layers, ...events];
  const listMin = Math.min(status.ranks.length + 2, listRowsMin);
  // What is below the list gives way to it on a low screen, layers before events.
  const eventsKept = events.length > 0 && rows >= listMin + eventsMin ? eventsMin : 0;
  const shownLayers = rows >= listMin + eventsKept + layers.length ? layers : [];
  const list = listOf(state, status, columns, rows - shownLayers.length - eventsKept, paint);
  const eventRows = Math.min(events.length, rows - list.length - shownLayers.length);
  const [heading = ''] = events;
  return [
    ...list,
    ...shownLayers,
    ...(eventRows > 1 ? [heading, ...events.slice(1).slice(1 - eventRows)] : []),
  ];
}

/** Ranks or nodes: a title, a heading, and as many rows as fit, from where it is scrolled to. */
function listOf(
  state: TopState,
  status: StatusAnswer,
  columns: number,
  rows: number | null,
  paint: Paint,
): string[] {
  const { sorting } = state;
  const byNode = isByNode(state);
  const ranks =
    sorting === 'load'
      ? status.ranks.toSorted((a, b) => (b.loadShare ?? 0) - (a.loadShare ?? 0))
      : status.ranks;
  const [heading = '', ...all] = byNode
    ? nodeRows(ranks, columns, paint)
    : rankRows(ranks, columns, paint);
  const room = rows === null ? all.length : Math.max(1, rows - 2);
  const first = Math.max(0, Math.min(state.scrolled, all.length - room));
  const shown = all.slice(first, first + room);
  const what = byNode ? 'nodes' : 'ranks';
  const part = shown.length < all.length ? ` ${first + 1}-${first + shown.length} of` : '';
  const title = `${what}:${part} ${all.length}, by ${sorting}`;
  return [paint('inverse', ` ${title} `), heading, ...shown];
}

function layerLines({ load }: StatusAnswer, paint: Paint): string[] {
  const { worstLayers = [] } = load;
  if (worstLayers.length === 0) return [];
  const lines = worstLayers.slice(0, layersMax).map(({ layer, modelLayer, imbalance, rank }) => {
    const model = modelLayer === null || modelLayer === layer ? '' : ` (model ${modelLayer})`;
    const name = `layer ${layer}${model}`.padEnd(20);
    return `${name}  ${bar((imbalance - 1) / 1, 20)}  ${imbalance.toFixed(2)} × mean on rank ${rank}`;
  });
  return [paint('inverse', ' layers of largest imbalance '), ...lines];
}

function eventLines({ events }: TopState, paint: Paint): string[] {
  if (events.length === 0) return [];
  const lines = events.slice(-eventsTold).map((event) => {
    const at = new Date(event.at).toISOString().slice(11, 19);
    const text = oneLine(`${at}  ${event.kind.padEnd(18)}  ${detailsOf(event)}`);
    return event.kind === 'alarm' ? paint('red', text) : text;
  });
  return [paint('inverse', ' last events '), ...lines];
}

/** Fields of events that say most, in the order in which they are read. */
const tellingFields = ['alarm', 'command', 'version', 'outcome', 'mode', 'code', 'reason'];

/** What an event says, the most telling fields first and without the names that go without saying. */
function detailsOf(event: AuditEvent): string {
  const { at: _, kind: __, schema: ___, sequence: ____, ...fields } = event;
  const told = tellingFields.flatMap((name) => {
    const value = fields[name];
    if (typeof value === 'number') return [`${name} ${value}`];
    return typeof value === 'string' ? [value] : [];
  });
  const others = Object.entries(fields)
    .filter(([name, value]) => !tellingFields.includes(name) && value !== null)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [...told, ...others].join('  ');
}

function keysOf({ prompt, isHelping, status }: TopState, paint: Paint): string {
  if (prompt !== null) return paint('bold', oneLine(prompt));
  if (isHelping) return paint('dim', '? back  q quit');
  const pause = status?.paused === true ? 'p resume' : 'p pause';
  return paint('dim', `q quit  ${pause}  s sort  n nodes/ranks  ↑↓ scroll  ? help`);
}

const helpLines: readonly string[] = [
  '',
  '  q        quit',
  '  p        pause, or resume where it is paused; asks first',
  '  s        sort by rank, or by load',
  '  n        one row for each node, or for each rank',
  '  ↑ ↓ PgUp PgDn Home, j k    scroll the list',
  '  ?        this help',
  '',
  '  load     tokens served in the last pass ÷ the mean of all ranks; a bar is half full at the mean',
  '  balancedness   Σ over layers of the mean rank load ÷ Σ of the largest; 1 is perfect',
  '  imbalance      largest ÷ mean rank load of a layer',
  '  buffers  free spare buffers, of all that the engine has',
  '  reported how long ago the rank was last heard',
];
