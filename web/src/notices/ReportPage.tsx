import { timestampDate } from "@bufbuild/protobuf/wkt";
import { NoticeKind, type NoticeForm } from "@gen/reelmesh/compliance/v1/notices_pb";
import type { SubmitNoticeResponse } from "@gen/reelmesh/compliance/v1/notices_service_pb";
import { useEffect, useRef, useState, type ReactElement, type SyntheticEvent } from "react";

import { notices } from "../api/clients";
import { freshId } from "../api/correlation";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { announce } from "../app/announcer";
import { navigate } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { isAssetId, watchPath } from "../app/routes";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { ElementField } from "./ElementField";
import { missingOf, noticeOf, type Filled } from "./elements";

const LEAD =
  "You need no account. What you write about yourself is kept sealed, and is shown to nobody but those who decide.";

/** Where the notice is about, as the address of the form says; empty when it does not. */
function aboutOf(search: string): string {
  const about = new URLSearchParams(search).get("about") ?? "";
  return isAssetId(about) ? window.location.origin + watchPath(about) : "";
}

/** Lets anybody give a notice about what is shown here. */
export function ReportPage({ search }: { search: string }): ReactElement {
  const [forms, setForms] = useState<readonly NoticeForm[] | null>(null);
  const [refused, setRefused] = useState<Refusal | null>(null);
  const [taken, setTaken] = useState<SubmitNoticeResponse | null>(null);
  useEffect(() => {
    let here = true;
    notices.getNoticeForm({}).then(
      (found) => {
        if (here) setForms(found.forms);
      },
      (error: unknown) => {
        if (here) setRefused(refusalOfCall(error));
      },
    );
    return () => {
      here = false;
    };
  }, []);
  return (
    <div className="narrow" data-testid="report">
      <PageHead
        title={taken === null ? "Report something shown here" : "Your notice was received"}
        lead={taken === null ? LEAD : ""}
      />
      {refused === null ? null : <RefusalPanel look="person" refusal={refused} />}
      {taken !== null ? (
        <Taken taken={taken} />
      ) : forms === null ? (
        refused === null ? (
          <p className="waiting">One moment…</p>
        ) : null
      ) : (
        <Notice forms={forms} about={aboutOf(search)} onTaken={setTaken} />
      )}
    </div>
  );
}

function Taken({ taken }: { taken: SubmitNoticeResponse }): ReactElement {
  const due = taken.dueTime === undefined ? "" : timestampDate(taken.dueTime).toLocaleString();
  return (
    <div data-testid="taken">
      <p>
        Its reference is <strong data-testid="reference">{taken.noticeId}</strong>. It will be decided by {due} at the
        latest. If you gave an address, a message with a link to your case is on its way.
      </p>
      <div className="page-actions">
        <Button
          look="primary"
          data-testid="see-case"
          onClick={() => {
            navigate("/notice", { code: taken.linkCode });
          }}
        >
          See where it stands
        </Button>
      </div>
    </div>
  );
}

interface NoticeProps {
  readonly forms: readonly NoticeForm[];
  readonly about: string;
  readonly onTaken: (taken: SubmitNoticeResponse) => void;
}

function Notice({ forms, about, onTaken }: NoticeProps): ReactElement {
  const [kind, setKind] = useState<NoticeKind>(NoticeKind.UNSPECIFIED);
  const [filled, setFilled] = useState<Filled>({ location: about });
  const [missing, setMissing] = useState<readonly string[]>([]);
  const form = forms.find((one) => one.kind === kind);
  const sending = useSending(...forms.flatMap(({ elements }) => elements.map(({ name }) => name)));
  // A notice that is sent again, because the answer was lost, goes with the same id.
  const requests = useRef(new Map<string, string>());
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (form === undefined) return;
    const lacking = missingOf(form, filled);
    setMissing(lacking);
    if (lacking.length > 0) {
      announce(`${String(lacking.length)} things are missing.`);
      return;
    }
    const notice = noticeOf(form, filled, navigator.language.slice(0, 35));
    const body = JSON.stringify(notice);
    const requestId = requests.current.get(body) ?? freshId();
    requests.current.set(body, requestId);
    void sending.send(async () => {
      onTaken(await notices.submitNotice({ requestId, ...notice }));
      announce("Your notice was received.");
    });
  };
  const hintOf = (name: string): string =>
    sending.wrong(name) || (missing.includes(name) ? "This is needed; without it the notice is not valid." : "");
  return (
    <form className="form" onSubmit={submit} noValidate>
      <fieldset className="kinds">
        <legend>What is it?</legend>
        {forms.map((one) => (
          <label key={one.kind} className="declared">
            <input
              type="radio"
              name="kind"
              checked={one.kind === kind}
              data-testid={`kind-${String(one.kind)}`}
              onChange={() => {
                setKind(one.kind);
                setMissing([]);
                sending.clear();
              }}
            />
            <span>
              <strong>{one.title}</strong> {one.help} {one.promise}
            </span>
          </label>
        ))}
      </fieldset>
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      {form === undefined ? null : (
        <>
          {form.elements.map((element) => (
            <ElementField
              key={element.name}
              element={element}
              categories={form.categories}
              filled={filled}
              hint={hintOf(element.name)}
              onChange={(name, value) => {
                setFilled((before) => ({ ...before, [name]: value }));
              }}
            />
          ))}
          <Button look="primary" type="submit" disabled={sending.busy} data-testid="report-submit">
            {sending.busy ? "One moment…" : "Send the notice"}
          </Button>
        </>
      )}
    </form>
  );
}
