// How files come to the page: chosen, dropped or pasted; as a photo, or as a mask of the photo that is open.

const $ = (selector) => document.querySelector(selector);

/** `host` has: hasPhoto(), open(file) and openMask(file). */
export function welcome(host) {
  for (const [input, act] of [["#open", host.open], ["#open-mask", host.openMask]]) {
    $(input).addEventListener("change", ({ target }) => {
      const [file] = target.files;
      if (file) act(file);
      target.value = ""; // the same file can be chosen again
    });
  }
  $("#choose").addEventListener("click", () => $("#open").click());
  addEventListener("paste", ({ clipboardData }) => {
    const [file] = clipboardData?.files ?? [];
    if (file) host.open(file);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.types.includes("Files")) return;
    document.body.classList.add("dropping");
    $("#drop").hidden = !host.hasPhoto();
    for (const zone of $("#drop").children) zone.classList.toggle("here", zone === event.target);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || away());
  addEventListener("drop", (event) => {
    event.preventDefault();
    away();
    const [file] = event.dataTransfer.files;
    if (file) (event.target.id === "drop-mask" ? host.openMask : host.open)(file);
  });
}

function away() {
  document.body.classList.remove("dropping");
  $("#drop").hidden = true;
}
