import { lazy, Suspense, useEffect, type ReactElement } from "react";

import { AccountPage } from "../account/AccountPage";
import { ActivatePage } from "../activate/ActivatePage";
import { ProvedPage } from "../age/ProvedPage";
import { AuthorizePage } from "../authorize/AuthorizePage";
import { PaidPage } from "../buy/PaidPage";
import { ReportLeakPage } from "../leaks/ReportLeakPage";
import { LibraryPage } from "../library/LibraryPage";
import { NoticePage } from "../notices/NoticePage";
import { ReportPage } from "../notices/ReportPage";
import { useSignedIn } from "../session/current";
import { ForgotPasswordPage } from "../session/ForgotPasswordPage";
import { safeNext } from "../session/next";
import { may } from "../session/signedIn";
import { RegisterPage } from "../session/RegisterPage";
import { SignInPage } from "../session/SignInPage";
import { SignOutPage } from "../signOut/SignOutPage";
import { SsoPage } from "../sso/SsoPage";
import { UploadPage } from "../upload/UploadPage";
import { WithdrawPage } from "../withdraw/WithdrawPage";
import { Frame } from "./Frame";
import { MissingPage } from "./MissingPage";
import { goOn, usePlace } from "./navigation";
import { NotForYou } from "./NotForYou";
import { OnlyPeople } from "./OnlyPeople";
import { PageHead } from "./PageHead";
import { routeOf, type Route, type SessionPage } from "./routes";

// The player is large; it is fetched only by those who watch.
const loadWatchPage = (): Promise<typeof import("../watch/WatchPage")> => import("../watch/WatchPage");
const WatchPage = lazy(() => loadWatchPage().then((module) => ({ default: module.WatchPage })));

const SESSION_PAGES = { "sign-in": SignInPage, register: RegisterPage, "forgot-password": ForgotPasswordPage };

/** Leaves a page that is for those who are not signed in. */
function GoOn({ next }: { next: string }): ReactElement {
  useEffect(() => {
    goOn(safeNext(next));
  }, [next]);
  return <p className="waiting">One moment…</p>;
}

/** A page on which people sign in; who is signed in already goes on to where they wanted to. */
function Entrance({ page, next }: { page: SessionPage; next: string }): ReactElement {
  const { who } = useSignedIn();
  // An operator may want to become a person.
  const done = who === "person" || (who === "key" && page === "sign-in");
  const Shown = SESSION_PAGES[page];
  return done ? <GoOn next={next} /> : <Shown next={next} />;
}

function NoUploads(): ReactElement {
  return (
    <>
      <PageHead title="Upload" />
      <NotForYou title="You may not upload here" testId="no-uploads">
        You are signed in, but none of your roles brings videos in. Ask an administrator of your organisation to make
        you a creator.
      </NotForYou>
    </>
  );
}

function Page({ route, code, next }: { route: Route; code: string; next: string }): ReactElement {
  const signedIn = useSignedIn();
  const { who, id } = signedIn;
  const { pathname, search } = usePlace();
  const entrance = <SignInPage next={pathname + search} />;
  switch (route.page) {
    case "library":
      return who === "nobody" ? entrance : <LibraryPage key={id} />;
    case "upload":
      if (who === "person" && !may(signedIn, "uploads.write")) return <NoUploads />;
      return who === "nobody" ? entrance : <UploadPage key={id} />;
    case "report-leak":
      return who === "nobody" ? entrance : <ReportLeakPage key={id} />;
    case "account":
      if (who === "key") return <OnlyPeople />;
      return who === "nobody" ? entrance : <AccountPage key={id} />;
    case "watch":
      return (
        <Suspense fallback={<p className="waiting">Loading the player…</p>}>
          <WatchPage key={`${route.assetId} ${code}`} assetId={route.assetId} format={route.format} code={code} />
        </Suspense>
      );
    case "paid":
      return who === "nobody" ? entrance : <PaidPage key={route.checkoutId} checkoutId={route.checkoutId} />;
    case "proved":
      return who === "nobody" ? entrance : <ProvedPage key={route.ageCheckId} ageCheckId={route.ageCheckId} />;
    case "report":
      return <ReportPage search={search} />;
    case "notice":
      return <NoticePage key={code} code={code} />;
    case "authorize":
      return <AuthorizePage />;
    case "activate":
      return <ActivatePage />;
    case "sso":
      return <SsoPage />;
    case "sign-out":
      return <SignOutPage />;
    case "withdraw":
      return <WithdrawPage />;
    case "missing":
      return <MissingPage />;
    default:
      return <Entrance key={route.page} page={route.page} next={next} />;
  }
}

/** The application. */
export function App(): ReactElement {
  const { pathname, search, code, next } = usePlace();
  const route = routeOf(pathname, search);
  return (
    <Frame route={route}>
      <Page route={route} code={code} next={next} />
    </Frame>
  );
}
