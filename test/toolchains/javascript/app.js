// Answers HTTP requests with a count and the path: a fresh instance always says 1.
let served = 0;

addEventListener("fetch", (event) => {
  served += 1;
  const { pathname } = new URL(event.request.url);
  event.respondWith(new Response(`javascript ${served} ${pathname}\n`));
});
