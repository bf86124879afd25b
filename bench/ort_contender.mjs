// ONNX Runtime as a contender of lsrun's bench: one network, kept alive between the rounds.
//
// usage: node ort_contender.mjs MODULES DIR THREADS
//
// MODULES is the folder that onnxruntime-node was installed into; DIR holds graph.json, images.f32,
// labels.i32 and model.onnx. Requests are lines of JSON on stdin, one answer a line on stdout:
//
//   {"do": "run", "batch": B, "images": N, "passes": P}  ->  {"seconds": S}
//   {"do": "logits", "images": N}                        ->  {"logits": [...]}
//   {"do": "version"}                                    ->  {"version": "..."}

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const [modules, folder, threads] = process.argv.slice(2)
const require = createRequire(resolve(modules) + '/')
const ort = require('onnxruntime-node')

// array reads a whole file as numbers; a buffer of its own is aligned.
function array(name, Type) {
  const file = readFileSync(join(folder, name))
  const numbers = new Type(file.length / Type.BYTES_PER_ELEMENT)
  file.copy(new Uint8Array(numbers.buffer))
  return numbers
}

const shape = JSON.parse(readFileSync(join(folder, 'graph.json'))).nodes[0].shape
const size = shape.reduce((a, b) => a * b, 1)
const images = array('images.f32', Float32Array)
const labels = array('labels.i32', Int32Array)

const session = await ort.InferenceSession.create(join(folder, 'model.onnx'), {
  executionProviders: ['cpu'],
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
})

async function forward(first, end) {
  const x = new ort.Tensor('float32', images.subarray(first * size, end * size), [end - first, ...shape])
  return (await session.run({ images: x })).logits.data
}

// crossEntropy is the sum over the rows of z, the logits of the images from first on.
function crossEntropy(z, first, n) {
  const classes = z.length / n
  let total = 0
  for (let i = 0; i < n; i++) {
    const row = z.subarray(i * classes, (i + 1) * classes)
    const top = Math.max(...row)
    let sum = 0
    for (const v of row) sum += Math.exp(v - top)
    total += Math.log(sum) + top - row[labels[first + i]]
  }
  return total
}

const doing = {
  async run({ batch, images: n, passes }) {
    const start = performance.now()
    for (let p = 0; p < passes; p++) {
      let total = 0
      for (let first = 0; first < n; first += batch) {
        const end = Math.min(first + batch, n)
        total += crossEntropy(await forward(first, end), first, end - first)
      }
    }
    return { seconds: (performance.now() - start) / 1000 }
  },
  async logits({ images: n }) { return { logits: [...await forward(0, n)] } },
  async version() { return { version: require('onnxruntime-node/package.json').version } },
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  process.stdout.write(JSON.stringify(await doing[request.do](request)) + '\n')
}
