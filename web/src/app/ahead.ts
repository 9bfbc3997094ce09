// Runs before everything else on the page: who comes to watch gets the player fetched at once, not after the first render.

if (window.location.pathname.startsWith("/watch/")) void import("../watch/WatchPage");
