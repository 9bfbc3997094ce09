import type { LeakCase } from "@gen/reelmesh/protection/v1/leaks_service_pb";
import { useState, type ReactElement, type SyntheticEvent } from "react";

import { leaks } from "../api/clients";
import { PageHead } from "../app/PageHead";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { Field } from "../ui/Field";
import { Meter } from "../ui/Meter";
import { RefusalPanel } from "../ui/RefusalPanel";
import { preserveFilm, sentFilm } from "./film";

const MOST_BYTES = 3_000_000;

/** A form by which somebody reports where a copy was found, with a picture of the page and the film, where they have it. */
export function ReportLeakPage(): ReactElement {
  const [made, setMade] = useState<LeakCase | null>(null);
  return (
    <div className="narrow" data-testid="report-leak">
      <PageHead
        title="Report a leak"
        lead="A copy of one of your videos that is where it should not be. Somebody looks into it; nothing happens to anybody before that."
      />
      {made === null ? <ReportForm onMade={setMade} /> : <Thanks made={made} />}
    </div>
  );
}

function Thanks({ made }: { made: LeakCase }): ReactElement {
  return (
    <section role="status" data-testid="leak-reported" data-case-id={made.caseId}>
      <p>
        Thank you. The case is <code>{made.caseId}</code>
        {made.platform === "" ? null : <> on {made.platform}</>}.
      </p>
      <p className="help">Compliance officers of your organisation see it, and whom it leads to.</p>
    </section>
  );
}

interface FileProps {
  readonly id: string;
  readonly label: string;
  readonly accept: string;
  /** What is wrong with it; empty when nothing is. */
  readonly hint: string;
  readonly help: string;
  readonly onChosen: (file: File | null) => void;
}

function FileField({ id, label, accept, hint, help, onChosen }: FileProps): ReactElement {
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="file"
        accept={accept}
        aria-describedby={`${id}-below`}
        data-testid={id}
        onChange={(event) => {
          onChosen(event.target.files?.[0] ?? null);
        }}
      />
      <p id={`${id}-below`} className="help">
        {hint === "" ? null : (
          <strong className="hint" role="alert">
            {hint}{" "}
          </strong>
        )}
        {help}
      </p>
    </div>
  );
}

function ReportForm({ onMade }: { onMade: (made: LeakCase) => void }): ReactElement {
  const [url, setUrl] = useState("");
  const [titleAssetId, setTitleAssetId] = useState("");
  const [film, setFilm] = useState<File | null>(null);
  const [share, setShare] = useState<number | null>(null);
  const [comment, setComment] = useState("");
  const [capture, setCapture] = useState<File | null>(null);
  const [requestId] = useState(() => crypto.randomUUID());
  const { busy, refusal, wrong, send, refuse } = useSending("url", "title_asset_id", "comment", "capture", "asset_id");

  const report = async (): Promise<void> => {
    // The film first: where it is not taken there is no case that lacks it.
    const assetId = film === null ? "" : await sentFilm(film, setShare);
    const told = { url: url.trim(), titleAssetId: titleAssetId.trim(), comment };
    const { case: made } = await leaks.reportLeak({ ...told, requestId });
    if (made === undefined) return;
    const { caseId } = made;
    if (capture !== null) {
      const bytes = new Uint8Array(await capture.arrayBuffer());
      const about = { filename: capture.name, mediaType: capture.type };
      await leaks.addLeakEvidence({ requestId: `${requestId}-page`, caseId, capture: bytes, ...about });
    }
    if (assetId !== "") await preserveFilm(`${requestId}-film`, caseId, assetId);
    onMade(made);
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (capture !== null && capture.size > MOST_BYTES) refuse("capture", "Choose a picture of 3 MB at most.");
    else void send(report);
  };

  return (
    <form className="sign-in" onSubmit={submit}>
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      <Field
        label="Where it is"
        type="url"
        required
        maxLength={2048}
        value={url}
        placeholder="https://"
        hint={wrong("url")}
        help="The address of the page or the file."
        data-testid="leak-url"
        onChange={setUrl}
      />
      <Field
        label="Which video it is (optional)"
        value={titleAssetId}
        placeholder="ast_…"
        pattern="ast_[0-7][0-9a-hjkmnp-tv-z]{25}"
        hint={wrong("title_asset_id")}
        help="Its id, from the address of its page here."
        data-testid="leak-title"
        onChange={setTitleAssetId}
      />
      <FileField
        id="leak-film"
        label="The film that was found (optional)"
        accept="video/*,.mkv,.ts,.avi"
        hint={wrong("asset_id")}
        help="It is kept as it is, as evidence, and its watermark is looked for: that tells whose copy it is."
        onChosen={setFilm}
      />
      <FileField
        id="leak-capture"
        label="A picture of the page (optional)"
        accept="image/png,image/jpeg,image/webp,application/pdf"
        hint={wrong("capture")}
        help="Up to 3 MB. It is kept as it is, as evidence."
        onChosen={setCapture}
      />
      <Field
        label="What else there is to say (optional)"
        value={comment}
        maxLength={2000}
        hint={wrong("comment")}
        data-testid="leak-comment"
        onChange={setComment}
      />
      {busy && share !== null ? <Meter label="Sending the film" fraction={share} /> : null}
      <Button look="primary" type="submit" disabled={busy} data-testid="report">
        Report
      </Button>
    </form>
  );
}
