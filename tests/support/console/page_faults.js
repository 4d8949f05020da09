// What is wrong with how a page lies in its window, or with the questions on it: sentences, none where all is well. The
// window is as high as the page, so that all of it can be pointed at. In one go, since pages change by themselves.
(areQuestions) => {
  const SLACK = 1;
  // Those that are broken nowhere but where the page says so (`<wbr>`, which parts texts).
  const WORD = /(?<!\S)\(?[a-z]{1,20}([._][a-z]{1,20})*[,.:;)]*(?!\S)/gi, LONGEST = 20;
  const width = document.documentElement.clientWidth;
  const faults = new Set();

  const known = new Map();
  const frame = (element) => {
    if (!known.has(element)) {
      const style = getComputedStyle(element), sideways = style.overflowX;
      known.set(element, {
        box: element.getBoundingClientRect(), isInline: style.display === "inline",
        scrolls: sideways === "auto" || sideways === "scroll", cuts: sideways === "hidden" || sideways === "clip",
      });
    }
    return known.get(element);
  };
  // What scrolls or cuts an element, from the inside out.
  const around = (element) => {
    const found = [];
    for (let one = element; one; one = one.parentElement) if (frame(one).scrolls || frame(one).cuts) found.push(one);
    return found;
  };
  const name = (element) => {
    const classes = [...element.classList].map((one) => `.${one}`).join("");
    return `<${element.localName}${classes}> ${element.textContent.trim().replace(/\s+/g, " ").slice(0, 40)}`;
  };
  const isLeftOut = (element) => element.closest("svg, option, script, style, textarea, .u-wrap, .skip") || !element.checkVisibility();

  const wider = document.documentElement.scrollWidth - innerWidth;
  if (wider > 0) faults.add(`the page is ${wider} px wider than its window`);
  function look(root) {
    known.clear();
    for (const element of root.querySelectorAll("*")) {
      if (isLeftOut(element)) continue;
      const { box, isInline, scrolls, cuts } = frame(element), more = element.scrollWidth - element.clientWidth;
      if (element.matches(".scroll") && more > SLACK)
        faults.add(`${name(element)} has to be pushed sideways by ${more} px`);
      if (!isInline && !scrolls && !cuts && element.clientWidth && more > SLACK)
        faults.add(`${name(element)} is ${more} px too narrow for what is in it`);
      if ((box.right > width + SLACK || box.left < -SLACK) && !around(element.parentElement).length)
        faults.add(`${name(element)} lies outside of the window`);
    }

    // At the middle and the ends of its first lines, text is met itself, or what is around it or in it.
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode, holder = node.parentElement;
      if (!node.data.trim() || isLeftOut(holder)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const word of node.data.matchAll(WORD)) {
        if (word[0].length > LONGEST) continue;
        const part = document.createRange();
        part.setStart(node, word.index);
        part.setEnd(node, word.index + word[0].length);
        const lines = [...part.getClientRects()].filter((one) => one.width > SLACK);
        if (lines.some((one) => one.top > lines[0].bottom - SLACK)) faults.add(`${name(holder)} breaks inside ${word[0]}`);
      }
      const frames = around(holder).map((one) => frame(one).box);
      for (const box of [...range.getClientRects()].filter((one) => one.width > 3).slice(0, 3)) {
        for (const share of [0.05, 0.5, 0.95]) {
          const x = box.left + box.width * share, y = box.top + box.height / 2;
          if (frames.some((one) => x < one.left || x > one.right || y < one.top || y > one.bottom)) continue;
          const met = document.elementFromPoint(x, y);
          if (met && !met.contains(holder) && !holder.contains(met)) faults.add(`${name(holder)} is covered by ${name(met)}`);
        }
      }
    }
  }

  if (!areQuestions) look(document.body);
  for (const dialog of areQuestions ? document.querySelectorAll("dialog") : []) {
    dialog.showModal();
    look(dialog);
    dialog.close();
  }
  return [...faults].slice(0, 40);
}
