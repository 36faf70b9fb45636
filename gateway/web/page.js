// What every page does: light or dark, and the language link.

const root = document.documentElement;
const theme = document.getElementById("theme");

theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
});

// Pages that live on in the browser change their words in place; all others are simply loaded again.
const link = document.getElementById("language");
if (document.body.matches(".studio, .docs")) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const text = await import("./text.js");
    const before = text.locale();
    await text.switchLocale(link.lang);
    link.lang = link.hreflang = before;
    link.href = `?lang=${before}`;
    link.textContent = text.say("page.other_language");
  });
}
