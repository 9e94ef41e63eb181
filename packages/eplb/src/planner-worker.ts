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
    const { mapping, report } = createPolicy(question.policy).rebalanceExperts(request);
    return { ok: true, mapping: specOf(mapping), report };
  } catch (error) {
    if (!(error instanceof EplbError)) throw error;
    return { ok: false, code: error.code, message: error.message, fields: error.fields };
  }
}

function specOf(mapping: ExpertMapping): ExpertMappingSpec {
  const { numLayers, numLogicalExperts, slotOffsets, physicalToLogical } = mapping;
  return { numLayers, numLogicalExperts, slotOffsets, physicalToLogical };
}

parentPort?.on('message', (question: PlanQuestion) => {
  parentPort?.postMessage(answer(question));
});
