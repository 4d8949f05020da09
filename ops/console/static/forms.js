// Sends forms that change something, and keeps the input if no answer comes. Without this script, browsers send them.
"use strict";
(() => {
  // A header of answers: the address to go to. It replaces redirections, since a script cannot see where they lead.
  const GO_ON = "Hyperpage-Go-On";
  const LONGEST_WAIT_MS = 120_000;
  // Forms that got no answer, or one without a form. Their CSRF token may belong to a session that has ended.
  const unanswered = new WeakSet();

  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

  function tell(form, text) {
    let notice = form.querySelector(":scope > .unsent");
    if (!notice) {
      notice = document.createElement("p");
      notice.className = "notice bad unsent";
      notice.setAttribute("role", "alert");
      form.prepend(notice);
    }
    notice.textContent = text;
    notice.scrollIntoView({ block: "nearest" });
  }

  // A service knows no sessions from before its start: the same page, loaded again, has a CSRF token that is valid.
  async function renew(form) {
    const fresh = parsed(await (await fetch(location.href)).text()).querySelector("[name=csrf_token]");
    if (fresh) form.querySelector("[name=csrf_token]").value = fresh.value;
  }

  async function send(form, button) {
    if (unanswered.has(form)) await renew(form);
    const said = new URLSearchParams(new FormData(form));
    if (button?.name) said.append(button.name, button.value);
    const answer = await fetch(form.getAttribute("action") || location.href, {
      method: "POST", body: said, headers: { [GO_ON]: "asked" }, signal: AbortSignal.timeout(LONGEST_WAIT_MS),
    });
    return [answer, await answer.text()];
  }

  // Shows an answer; true if the browser leaves the page.
  function show(form, answer, text) {
    const goOn = answer.headers.get(GO_ON);
    if (goOn && !new URL(goOn, location.href).searchParams.has("undone")) {
      location.assign(goOn);
      return true;
    }
    const page = parsed(text);
    const main = page.querySelector("main");
    if (!main?.querySelector("form[method=post]")) {
      // The session has ended, or the refusal is a page without a form to correct.
      unanswered.add(form);
      const why = main?.querySelector("[role=alert]")?.textContent || `The answer was ${answer.status}.`;
      tell(form, goOn ? "Your session has ended, and nothing was done: log in again in another tab, and send it again here." : why);
      return false;
    }
    // Shows the form again, with the message that says what to correct.
    document.title = page.title;
    document.querySelector("main").replaceChildren(...document.adoptNode(main).childNodes);
    htmx.process(document.querySelector("main"));
    (document.querySelector("main [autofocus]") || document.querySelector("main")).focus();
    return false;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    event.preventDefault();
    if (form.getAttribute("aria-busy")) return;
    form.setAttribute("aria-busy", "true");
    let isLeft = false;
    try {
      isLeft = show(form, ...await send(form, event.submitter));
    } catch {
      unanswered.add(form);
      const again = form.querySelector("[name=command_id]")
        ? "Send it again once the service is there: what was done already is not done twice."
        : "It may have been carried out all the same: look before you send it again.";
      tell(form, `No answer came from the service. What you filled in is still here. ${again}`);
    } finally {
      if (!isLeft) form.removeAttribute("aria-busy");
    }
  });
})();
