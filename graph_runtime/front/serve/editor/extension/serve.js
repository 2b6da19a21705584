// Opens files of inlay's own in the editor, and shows the warnings of a run. The server turns them into graphs.
import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'

const TEXT = 'inlay'

async function textOf(file) {
  // The text chunk `inlay` of a PNG, or null. Other pictures keep it in EXIF, which the server reads.
  const view = new DataView(await file.arrayBuffer())
  if (view.byteLength < 8 || view.getUint32(0) !== 0x89504e47) return null
  const latin = new TextDecoder('latin1')
  const names = new Set()
  for (let at = 8; at + 12 <= view.byteLength; ) {
    const length = view.getUint32(at)
    const kind = latin.decode(new Uint8Array(view.buffer, at + 4, 4))
    if (at + 12 + length > view.byteLength || kind === 'IDAT' || kind === 'IEND') break
    if (kind === 'tEXt' || kind === 'iTXt' || kind === 'zTXt') {
      const chunk = new Uint8Array(view.buffer, at + 8, length)
      names.add(latin.decode(chunk.subarray(0, chunk.indexOf(0))))
    }
    at += 12 + length
  }
  return names
}

async function isOurs(file) {
  if (file.type === 'application/json' || file.name?.endsWith('.json')) {
    if (file.size > 16 * 2 ** 20) return false
    try {
      const raw = JSON.parse(await file.text())
      return Number.isInteger(raw?.format) && typeof raw?.nodes === 'object' && !Array.isArray(raw.nodes)
    } catch {
      return false
    }
  }
  if (file.type === 'image/png') {
    const names = await textOf(file)
    return names !== null && names.has(TEXT) && !names.has('workflow')
  }
  return file.type === 'image/jpeg' || file.type === 'image/webp'
}

async function graphOf(file) {
  const type = file.type === 'application/json' || file.name?.endsWith('.json') ? 'application/json' : file.type
  const answer = await api.fetchApi('/inlay/open', {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: file
  })
  return answer.ok ? await answer.json() : null
}

const FIRST = 'CheckpointLoaderSimple'
const isMissing = (node) => node.type === FIRST && !(FIRST in LiteGraph.registered_node_types)

async function firstGraph() {
  const answer = await api.fetchApi('/workflow_templates/inlay/inpaint.json')
  return answer.ok ? await answer.json() : null
}

app.registerExtension({
  name: 'inlay.serve',
  async setup() {
    const loadGraphData = app.loadGraphData.bind(app)
    app.loadGraphData = async function (graph, ...rest) {
      // Its own first graph is of nodes that are not here.
      const first = !graph || (graph.nodes?.some(isMissing) && rest.length < 3)
      return await loadGraphData(first ? ((await firstGraph()) ?? graph) : graph, ...rest)
    }
    const handleFile = app.handleFile.bind(app)
    app.handleFile = async function (file, ...rest) {
      if (file && (await isOurs(file))) {
        const graph = await graphOf(file)
        if (graph) return await app.loadGraphData(graph, true, true, file.name?.replace(/\.\w+$/, ''))
      }
      return await handleFile(file, ...rest)
    }
    api.addEventListener('inlay.warning', ({ detail }) => {
      app.extensionManager?.toast?.add({ severity: 'warn', summary: 'inlay', detail: detail.message, life: 10000 })
    })
  }
})
