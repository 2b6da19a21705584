// What a screen reader, a keyboard and weak eyes need, checked on the page as it is now; returns what is wrong.
() => {
  const wrong = [], seen = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length > 0;
  const told = (node) => node.outerHTML.slice(0, 90);
  const text = (ids) => (ids ?? "").split(/\s+/).filter(Boolean).map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const name = (node) =>
    node.getAttribute("aria-label") || text(node.getAttribute("aria-labelledby")) ||
    [...(node.labels ?? [])].map((label) => label.textContent).join(" ") || node.textContent || node.title || node.alt || "";

  for (const node of document.querySelectorAll("button, input, select, textarea, a[href], summary, [tabindex], dialog, section, form")) {
    if (seen(node) && !name(node).trim()) wrong.push(`no name: ${told(node)}`);
    if (node.tabIndex > 0) wrong.push(`an order of its own: ${told(node)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  wrong.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: #${id}`));
  for (const kind of ["aria-labelledby", "aria-describedby", "for", "list"]) {
    for (const node of document.querySelectorAll(`[${kind}]`)) {
      for (const id of node.getAttribute(kind).split(/\s+/)) if (!document.getElementById(id)) wrong.push(`${kind}: no #${id}`);
    }
  }
  for (const node of document.querySelectorAll("img:not([alt])")) wrong.push(`no alt: ${told(node)}`);
  if (!document.documentElement.lang) wrong.push("no language");
  if (document.querySelectorAll("h1").length !== 1 || document.querySelectorAll("main").length !== 1) wrong.push("h1, main");
  if (!document.querySelector("[aria-live=polite]")) wrong.push("no live region");
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`wider than the window: ${document.documentElement.scrollWidth}`);

  // WCAG 2.2: 1.4.3 contrast, 2.5.8 size of targets
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = (rgb) => {
    const [red, green, blue] = rgb.map((value) => (value <= 10.31475 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [red, green, blue, alpha = 1] = channels(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let leaf = walker.nextNode(); leaf; leaf = walker.nextNode()) {
    const node = leaf.parentElement;
    if (!leaf.textContent.trim() || !seen(node) || node.closest(":disabled, .unseen, svg, .skip")) continue;
    const style = getComputedStyle(node), large = parseFloat(style.fontSize) >= 24;
    const [one, other] = [light(channels(style.color).slice(0, 3)), light(ground(node))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < (large ? 3 : 4.5)) wrong.push(`contrast ${contrast.toFixed(2)}: ${told(node)}`);
  }
  for (const node of document.querySelectorAll("button, select, textarea, a.button, label.button, input[type=number], input[type=text]")) {
    if (!seen(node) || node.closest(".unseen")) continue;
    const { width, height } = node.getBoundingClientRect();
    if (width < 24 || height < 24) wrong.push(`small, ${width} × ${height}: ${told(node)}`);
  }
  return wrong;
}
