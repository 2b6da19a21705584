// Our nodes in the editor: a text connects to a list of files, and the mask editor works on every node that loads one.
import { app } from "../../scripts/app.js";

const lists = new Map(); // by node type: the inputs that list names, and also take a text
const pictures = new Map(); // of these, the ones that list pictures
const EDITED = "image"; // the mask editor looks for a widget of this name, and writes there what was painted

function takeText(node) {
  const names = lists.get(node.comfyClass ?? node.type) ?? [];
  for (const input of node.inputs ?? []) {
    if (names.includes(input.widget?.name ?? input.name) && input.type === "COMBO") input.type = "COMBO,STRING";
  }
}

function takeMask(node) {
  const names = pictures.get(node.comfyClass ?? node.type) ?? [];
  const widgets = node.widgets ?? [];
  if (names.length !== 1 || widgets.some((widget) => widget.name === EDITED)) return;
  const list = widgets.find((widget) => widget.name === names[0]);
  if (!list) return;
  const alias = node.addWidget("text", EDITED, list.value, () => list.callback?.(list.value), { serialize: false });
  Object.defineProperty(alias, "value", { get: () => list.value, set: (value) => (list.value = value) });
  alias.serialize = false; // not in the file of the graph
  alias.hidden = true;
  alias.options.hidden = true;
  alias.computeSize = () => [0, -4]; // it takes no room
}

app.registerExtension({
  name: "inlay.files",
  beforeRegisterNodeDef(nodeType, nodeData) {
    const inputs = { ...nodeData.input?.required, ...nodeData.input?.optional };
    const names = Object.keys(inputs).filter((name) => {
      const [kind, options] = inputs[name] ?? [];
      return options?.takes_text && (Array.isArray(kind) || kind === "COMBO"); // not the button beside the list
    });
    lists.set(nodeData.name, names);
    pictures.set(nodeData.name, names.filter((name) => inputs[name][1].image_upload));
  },
  nodeCreated(node) {
    takeText(node);
    takeMask(node);
  },
  loadedGraphNode: takeText,
});
