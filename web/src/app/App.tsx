import { lazy, Suspense, type ReactElement } from "react";

import { ActivatePage } from "../activate/ActivatePage";
import { AuthorizePage } from "../authorize/AuthorizePage";
import { LibraryPage } from "../library/LibraryPage";
import { useCredential } from "../session/current";
import { SignInPage } from "../session/SignInPage";
import { SsoPage } from "../sso/SsoPage";
import { UploadPage } from "../upload/UploadPage";
import { Frame } from "./Frame";
import { MissingPage } from "./MissingPage";
import { usePlace } from "./navigation";
import { routeOf, type Route } from "./routes";

// The player is large; it is fetched only by those who watch.
const loadWatchPage = (): Promise<typeof import("../watch/WatchPage")> => import("../watch/WatchPage");
const WatchPage = lazy(() => loadWatchPage().then((module) => ({ default: module.WatchPage })));

function Page({ route, code }: { route: Route; code: string }): ReactElement {
  const { key } = useCredential();
  switch (route.page) {
    case "library":
      return key === "" ? <SignInPage /> : <LibraryPage key={key} />;
    case "upload":
      return key === "" ? <SignInPage /> : <UploadPage key={key} />;
    case "watch":
      return (
        <Suspense fallback={<p className="waiting">Loading the player…</p>}>
          <WatchPage key={`${route.assetId} ${code}`} assetId={route.assetId} format={route.format} code={code} />
        </Suspense>
      );
    case "authorize":
      return <AuthorizePage />;
    case "activate":
      return <ActivatePage />;
    case "sso":
      return <SsoPage />;
    case "missing":
      return <MissingPage />;
  }
}

/** The application. */
export function App(): ReactElement {
  const { pathname, search, code } = usePlace();
  const route = routeOf(pathname, search);
  return (
    <Frame route={route}>
      <Page route={route} code={code} />
    </Frame>
  );
}
