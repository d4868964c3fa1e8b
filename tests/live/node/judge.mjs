// The Node SDKs as judges: jobs as JSON lines on stdin, outcomes as JSON lines on stdout.
//
// A job: {judge, way, key, origin, path, dialect, model}. `key` goes out as the header x-capture.
// An outcome has the fields of ../outcome.py; a tool call is [name, arguments as sent or as parsed].

import { createInterface } from 'node:readline';

import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { jsonSchema, streamText, tool } from 'ai';
import * as anthropicNew from 'anthropic-new';
import * as anthropicOld from 'anthropic-old';
import * as openai4 from 'openai4';
import * as openai6 from 'openai6';
import * as openai7 from 'openai7';

const HANG = 15_000;
const MESSAGES = [{ role: 'user', content: 'x' }];
const FINISHES = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  completed: 'stop',
  max_tokens: 'length',
  incomplete: 'length',
  tool_use: 'tool_calls',
  'tool-calls': 'tool_calls',
};
const FAILURES = ['error', 'response.failed'];
const LIFECYCLE = [...FAILURES, 'response.completed', 'response.incomplete'];

const finished = (reason) => FINISHES[reason] ?? reason ?? null;

// One SDK client for each version and base URL: making one is dearer than asking it.
const made = new Map();
function once(name, base, make) {
  const key = `${name} ${base}`;
  if (!made.has(key)) made.set(key, make());
  return made.get(key);
}

const v1 = ({ origin, path }) => origin + path.replace(/\/(chat\/completions|responses|messages)$/, '');

function gpt(sdk, job) {
  const make = () => new sdk.default({ apiKey: 'k', baseURL: v1(job), maxRetries: 0 });
  return once(job.judge, v1(job), make);
}

function claude(sdk, job) {
  const base = v1(job).replace(/\/v1$/, '');
  return once(job.judge, base, () => new sdk.default({ apiKey: 'k', baseURL: base, maxRetries: 0 }));
}

// openai, chat.

const chatCreate = (sdk) => async (job, options, got) => {
  const client = gpt(sdk, job);
  const stream = await client.chat.completions.create(
    { model: job.model, messages: MESSAGES, stream: true },
    options,
  );
  const calls = new Map();
  for await (const chunk of stream) {
    for (const choice of chunk.choices ?? []) {
      const delta = choice.delta ?? {};
      got.text += delta.content ?? '';
      got.reasoning += delta.reasoning_content ?? delta.reasoning ?? '';
      got.finish = choice.finish_reason || got.finish;
      for (const part of delta.tool_calls ?? []) {
        if (!calls.has(part.index)) calls.set(part.index, ['', '']);
        const call = calls.get(part.index);
        call[0] ||= part.function?.name ?? '';
        call[1] += part.function?.arguments ?? '';
      }
    }
  }
  got.tools = [...calls.values()];
};

const chatStream = (sdk) => async (job, options, got) => {
  const client = gpt(sdk, job);
  const completions = client.chat.completions.stream ? client.chat.completions : client.beta.chat.completions;
  const stream = completions.stream({ model: job.model, messages: MESSAGES }, options);
  let reasoning = '';
  for await (const chunk of stream) {
    // The helper keeps only the last piece of a field that it does not know.
    const delta = chunk.choices?.[0]?.delta;
    reasoning += delta?.reasoning_content ?? delta?.reasoning ?? '';
  }
  const [choice] = (await stream.finalChatCompletion()).choices;
  got.text = choice.message.content ?? '';
  got.tools = (choice.message.tool_calls ?? []).map((call) => [call.function.name, call.function.arguments]);
  got.reasoning = reasoning;
  got.finish = choice.finish_reason;
};

// openai, responses.

function lifecycle(event, got) {
  if (FAILURES.includes(event.type)) got.told = event.type;
  if (!LIFECYCLE.includes(event.type)) return;
  got.ended = event.type;
  got.finish = finished(event.response?.status);
}

const responsesCreate = (sdk) => async (job, options, got) => {
  const stream = await gpt(sdk, job).responses.create({ model: job.model, input: 'x', stream: true }, options);
  for await (const event of stream) {
    lifecycle(event, got);
    if (event.type === 'response.output_text.delta') got.text += event.delta;
    if (/^response\.reasoning_(summary_)?text\.delta$/.test(event.type)) got.reasoning += event.delta;
    if (event.type === 'response.output_item.done' && event.item?.type === 'function_call') {
      got.tools.push([event.item.name, event.item.arguments]);
    }
  }
};

const responsesStream = (sdk) => async (job, options, got) => {
  const stream = gpt(sdk, job).responses.stream({ model: job.model, input: 'x' }, options);
  for await (const event of stream) lifecycle(event, got);
  const final = await stream.finalResponse();
  for (const item of final.output ?? []) {
    if (item.type === 'function_call') got.tools.push([item.name, item.arguments]);
    const parts = item.type === 'reasoning' ? [...(item.summary ?? []), ...(item.content ?? [])] : [];
    for (const part of parts) got.reasoning += part.text ?? '';
    for (const part of item.type === 'message' ? (item.content ?? []) : []) got.text += part.text ?? '';
  }
  got.finish = finished(final.status);
};

// anthropic.

const messagesCreate = (sdk) => async (job, options, got) => {
  const stream = await claude(sdk, job).messages.create(
    { model: job.model, max_tokens: 99, messages: MESSAGES, stream: true },
    options,
  );
  const calls = [];
  const open = new Map();
  const opened = (index, call) => (open.set(index, call), calls.push(call), call);
  for await (const event of stream) {
    if (event.type === 'content_block_start') {
      open.delete(event.index);
      const block = event.content_block;
      if (block.type === 'tool_use') opened(event.index, { name: block.name, pieces: '', input: block.input });
    } else if (event.type === 'content_block_delta') {
      got.text += event.delta.text ?? '';
      got.reasoning += event.delta.thinking ?? '';
      const piece = event.delta.partial_json;
      if (piece) (open.get(event.index) ?? opened(event.index, { name: '', pieces: '' })).pieces += piece;
    } else if (event.type === 'message_delta') {
      got.finish = finished(event.delta.stop_reason) ?? got.finish;
    }
  }
  got.tools = calls.map((call) => [call.name, call.pieces || (call.input ?? '')]);
};

const messagesStream = (sdk) => async (job, options, got) => {
  const stream = claude(sdk, job).messages.stream(
    { model: job.model, max_tokens: 99, messages: MESSAGES },
    options,
  );
  const final = await stream.finalMessage();
  for (const block of final.content) {
    if (block.type === 'text') got.text += block.text;
    if (block.type === 'thinking') got.reasoning += block.thinking;
    if (block.type === 'tool_use') got.tools.push([block.name, block.input]);
  }
  got.finish = finished(final.stop_reason);
};

// The AI SDK.

const anyObject = jsonSchema({ type: 'object', additionalProperties: true });
const TOOLS = Object.fromEntries(
  ['get_weather', 'get_time', 'ping'].map((name) => [name, tool({ inputSchema: anyObject })]),
);

const MODELS = {
  'js ai openai': (base, job) => {
    const provider = createOpenAI({ baseURL: base, apiKey: 'k' });
    return job.dialect === 'chat' ? provider.chat(job.model) : provider.responses(job.model);
  },
  'js ai openai-compatible': (base, job) =>
    createOpenAICompatible({ name: 'relay', baseURL: base, apiKey: 'k' })(job.model),
  'js ai anthropic': (base, job) => createAnthropic({ baseURL: base, apiKey: 'k' })(job.model),
};

async function aiStream(job, options, got) {
  const model = MODELS[job.judge](v1(job), job);
  const result = streamText({
    model,
    prompt: 'x',
    tools: TOOLS,
    maxRetries: 0,
    headers: options.headers,
    abortSignal: options.signal,
    onError: () => {},
  });
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') got.text += part.text;
    if (part.type === 'reasoning-delta') got.reasoning += part.text;
    if (part.type === 'tool-call') got.tools.push([part.toolName, part.input]);
    if (part.type === 'finish') got.finish = finished(part.finishReason);
    if (part.type === 'error') aiError(part.error, got);
  }
}

const AI_INTERNAL =
  /^(AI_TypeValidationError|AI_JSONParseError|TypeError|ReferenceError|SyntaxError)\b|^\w+ part .* not found|^AI_APICallError: (Type validation|JSON parsing) failed/;

// The AI SDK reports its own failures and the API's in the same kind of part. A frame that it could
// not read, or a delta for a part that it does not know, is its own; that the API failed, or that
// the stream ended early, is what the part is for.
function aiError(error, got) {
  const text = describe(error);
  const caused = error?.cause ? describe(error.cause) : '';
  if (AI_INTERNAL.test(text) || AI_INTERNAL.test(caused)) {
    if (!got.error) Object.assign(got, { raised: 'sdk', error: `error part: ${text}` });
  } else {
    got.told ||= text || 'error part';
  }
}

// A connection that broke in mid-body, in the words of undici and node-fetch; no SDK wraps it.
const BROKEN = /^(terminated|Premature close)$/;

// Dispatch.

const judges = new Map();
for (const [name, sdk] of [['openai7', openai7], ['openai6', openai6], ['openai4', openai4]]) {
  judges.set(`js ${name} create`, { chat: chatCreate(sdk), responses: responsesCreate(sdk), sdk });
  judges.set(`js ${name} stream`, { chat: chatStream(sdk), responses: responsesStream(sdk), sdk });
}
for (const [name, sdk] of [['anthropic1', anthropicNew], ['anthropic0', anthropicOld]]) {
  judges.set(`js ${name} create`, { messages: messagesCreate(sdk), sdk });
  judges.set(`js ${name} stream`, { messages: messagesStream(sdk), sdk });
}
for (const name of Object.keys(MODELS)) {
  judges.set(name, { chat: aiStream, responses: aiStream, messages: aiStream });
}

function describe(error) {
  if (typeof error === 'string') return error;
  const name = error?.name && error.name !== 'Error' ? error.name : (error?.constructor?.name ?? 'error');
  const message = error?.message ?? JSON.stringify(error) ?? '';
  return `${name}: ${String(message).split('\n')[0]}`.slice(0, 240);
}

async function judge(job) {
  const { judge: name, way, key } = job;
  const got = { judge: name, way, key, text: '', tools: [], reasoning: '', finish: null };
  const { sdk, [job.dialect]: ask } = judges.get(name);
  const stop = new AbortController();
  let timer;
  const hang = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(Object.assign(new Error(`no end after ${HANG} ms`), { name: 'Hang' }));
      stop.abort();
    }, HANG);
  });
  try {
    await Promise.race([ask(job, { headers: { 'x-capture': key }, signal: stop.signal }, got), hang]);
  } catch (error) {
    const ofApi = sdk ? error instanceof sdk.APIError : error?.name === 'AI_APICallError';
    got.raised = ofApi || BROKEN.test(error?.message) ? 'api' : 'sdk';
    got.error = ofApi || !sdk ? describe(error) : `${error?.constructor?.name}: ${describe(error)}`;
  } finally {
    clearTimeout(timer);
  }
  return got;
}

// Deprecations and compatibility notes of the SDKs are not what is judged, and stdout is for outcomes.
globalThis.AI_SDK_LOG_WARNINGS = false;
for (const level of ['log', 'info', 'warn', 'error', 'debug']) console[level] = () => {};

// A helper that failed may leave a rejected promise behind; the outcome has it already.
process.on('unhandledRejection', () => {});

const jobs = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line) jobs.push(JSON.parse(line));
}
let next = 0;
async function worker() {
  while (next < jobs.length) process.stdout.write(`${JSON.stringify(await judge(jobs[next++]))}\n`);
}
await Promise.all(Array.from({ length: Number(process.argv[2] ?? 8) }, worker));
process.stdout.write('', () => process.exit(0)); // kept-alive sockets would hold the process
