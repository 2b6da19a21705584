// A text from another node may be connected where one of our nodes lists files: both name the same thing.
import { app } from "../../scripts/app.js";

const takesText = new Map(); // by node type: the inputs that list names, and also take a text

function open(node) {
  const names = takesText.get(node.comfyClass ?? node.type);
  if (!names) return;
  for (const input of node.inputs ?? []) {
    if (names.has(input.widget?.name ?? input.name) && input.type === "COMBO") input.type = "COMBO,STRING";
  }
}

app.registerExtension({
  name: "inlay.text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    const inputs = { ...nodeData.input?.required, ...nodeData.input?.optional };
    const names = Object.keys(inputs).filter((name) => inputs[name]?.[1]?.takes_text);
    if (names.length) takesText.set(nodeData.name, new Set(names));
  },
  nodeCreated: open,
  loadedGraphNode: open,
});
