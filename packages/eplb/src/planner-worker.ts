import { parentPort } from 'node:worker_threads';
import { EplbError } from './eplb-error.js';
import { ExpertMapping, type ExpertMappingSpec } from './expert-mapping.js';
import { createPolicy, type PlanAnswer, type PlanQuestion } from './planner-messages.js';

function answer(question: PlanQuestion): PlanAnswer {
  try {
    const { currentMapping } = question;
    const request =
      currentMapping === null
        ? question.request
        : { ...question.request, currentMapping: ExpertMapping.create(currentMapping) };
    const { mapping, dispatch, report } = createPolicy(question.policy).rebalanceExperts(request);
    // Read here, so that figures which are proven or counted when read cost the caller no time.
    return { ok: true, mapping: specOf(mapping), dispatch, report: { ...report } };
  } catch (error) {
    if (!(error instanceof EplbError)) throw error;
    return { ok: false, code: error.code, message: error.message, fields: error.fields };
  }
}

function specOf(mapping: ExpertMapping): ExpertMappingSpec {
  const { numLayers, numLogicalExperts, slotOffsets, physicalToLogical } = mapping;
  return { numLayers, numLogicalExperts, slotOffsets, physicalToLogical };
}

/** Buffers that are given away: nothing here needs them any more. */
function buffersOf(told: PlanAnswer): ArrayBuffer[] {
  if (!told.ok) return [];
  const { mapping, dispatch, report } = told;
  return [
    mapping.physicalToLogical.buffer as ArrayBuffer,
    report.lowerBound.buffer as ArrayBuffer,
    report.layerGains.buffer as ArrayBuffer,
    ...(dispatch === null ? [] : [dispatch.shares.buffer as ArrayBuffer]),
  ];
}

parentPort?.on('message', (question: PlanQuestion) => {
  const told = answer(question);
  parentPort?.postMessage(told, buffersOf(told));
});
parentPort?.postMessage('ready');
