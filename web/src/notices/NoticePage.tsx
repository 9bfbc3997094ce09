import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import { NoticeAnswerKind, NoticeParty, type StatementOfReasons } from "@gen/reelmesh/compliance/v1/notices_pb";
import type { OpenNoticeCaseResponse } from "@gen/reelmesh/compliance/v1/notices_service_pb";
import { useCallback, useEffect, useState, type ReactElement, type SyntheticEvent } from "react";

import { notices } from "../api/clients";
import { freshId } from "../api/correlation";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { announce } from "../app/announcer";
import { PageHead } from "../app/PageHead";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { ElementField } from "./ElementField";
import { counterNoticeOf, type Filled } from "./elements";
import { TextArea } from "./fields";
import { ANSWERS, stateWords } from "./stateWords";

function day(moment: Timestamp | undefined): string {
  return moment === undefined ? "" : timestampDate(moment).toLocaleString();
}

/** Shows a case to whoever came by a secret link, and lets them answer. */
export function NoticePage({ code }: { code: string }): ReactElement {
  const [found, setFound] = useState<OpenNoticeCaseResponse | null>(null);
  const [refused, setRefused] = useState<Refusal | null>(null);
  const look = useCallback(async (): Promise<void> => {
    try {
      setFound(await notices.openNoticeCase({ linkCode: code }));
      setRefused(null);
    } catch (error) {
      setRefused(refusalOfCall(error));
    }
  }, [code]);
  useEffect(() => {
    // Later, so that the first picture is drawn before.
    const soon = window.setTimeout(() => {
      if (code !== "") void look();
    });
    return () => {
      window.clearTimeout(soon);
    };
  }, [code, look]);
  return (
    <div className="narrow" data-testid="notice">
      <PageHead title={found === null ? "Your case" : `Notice ${found.noticeId}`} />
      {code === "" ? (
        <p>Open the link of the message that you were sent. It works for as long as the case is kept.</p>
      ) : null}
      {refused === null ? null : <RefusalPanel look="person" refusal={refused} />}
      {found === null ? null : <Case found={found} code={code} onAnswered={() => void look()} />}
    </div>
  );
}

interface CaseProps {
  readonly found: OpenNoticeCaseResponse;
  readonly code: string;
  readonly onAnswered: () => void;
}

function Case({ found, code, onAnswered }: CaseProps): ReactElement {
  const { decision, statement, counterNotice } = found;
  return (
    <>
      <p data-testid="state">{stateWords(found.state)}</p>
      <dl className="case-facts">
        <dt>About</dt>
        <dd>{found.title === "" ? found.assetId : `${found.title} (${found.assetId})`}</dd>
        <dt>Received</dt>
        <dd>{day(found.receiveTime)}</dd>
        {found.dueTime === undefined ? null : (
          <>
            <dt>Decided by</dt>
            <dd>{day(found.dueTime)}</dd>
          </>
        )}
        {found.restoreAfterTime === undefined ? null : (
          <>
            <dt>Shown again from</dt>
            <dd>{day(found.restoreAfterTime)}</dd>
          </>
        )}
        {decision === undefined || decision.explanation === "" ? null : (
          <>
            <dt>Why</dt>
            <dd>{decision.explanation}</dd>
          </>
        )}
      </dl>
      {statement === undefined ? null : <Statement statement={statement} />}
      {counterNotice === undefined || found.party !== NoticeParty.NOTIFIER ? null : (
        <section>
          <h2>The counter-notice</h2>
          <p>
            {counterNotice.contact?.name}, {counterNotice.contact?.postalAddress}, {counterNotice.contact?.phone}
          </p>
          <p>{counterNotice.explanation}</p>
        </section>
      )}
      {found.answers.map((kind) => (
        <Answer key={kind} kind={kind} found={found} code={code} onAnswered={onAnswered} />
      ))}
    </>
  );
}

function Statement({ statement }: { statement: StatementOfReasons }): ReactElement {
  const ground = statement.legalGround === "" ? statement.contractualGround : statement.legalGround;
  return (
    <section data-testid="statement">
      <h2>Statement of reasons</h2>
      <p>{statement.facts}</p>
      <p>
        <strong>{ground}</strong>: {statement.groundExplanation}
      </p>
      <p>
        It follows from a notice, and was decided {statement.automatedDecision ? "by automated means" : "by people"}.
        {statement.territories.length === 0 ? "" : ` It holds in: ${statement.territories.join(", ")}.`}
      </p>
      <ul>
        {statement.redress.map((way) => (
          <li key={way}>{way}</li>
        ))}
      </ul>
    </section>
  );
}

interface AnswerProps extends CaseProps {
  readonly kind: NoticeAnswerKind;
}

/** One way to answer, which opens when it is chosen. */
function Answer({ kind, found, code, onAnswered }: AnswerProps): ReactElement {
  const [open, setOpen] = useState(false);
  const [filled, setFilled] = useState<Filled>({});
  const [requestId] = useState(freshId);
  const countering = kind === NoticeAnswerKind.COUNTER_NOTICE;
  const sending = useSending("explanation", ...found.counterElements.map(({ name }) => name));
  const words = ANSWERS[kind];
  const change = (name: string, value: string): void => {
    setFilled((before) => ({ ...before, [name]: value }));
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    const explanation = filled.explanation ?? "";
    const answer = countering ? { counterNotice: counterNoticeOf(filled) } : { explanation };
    void sending
      .send(() => notices.answerNotice({ requestId, linkCode: code, kind, ...answer }))
      .then((sent) => {
        if (!sent) return;
        announce("Your answer was received.");
        onAnswered();
      });
  };
  if (!open) {
    return (
      <div className="page-actions">
        <Button
          data-testid={`answer-${String(kind)}`}
          onClick={() => {
            setOpen(true);
          }}
        >
          {words.begin}
        </Button>
      </div>
    );
  }
  return (
    <form className="form" onSubmit={submit} noValidate>
      <h2>{words.begin}</h2>
      <p>{words.help}</p>
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      {words.explains === "" ? null : (
        <TextArea
          label={words.explains}
          value={filled[countering ? "counter_notice.explanation" : "explanation"] ?? ""}
          hint={sending.wrong("explanation")}
          data-testid="answer-explanation"
          onChange={(value) => {
            change(countering ? "counter_notice.explanation" : "explanation", value);
          }}
        />
      )}
      {countering
        ? found.counterElements.map((element) => (
            <ElementField
              key={element.name}
              element={element}
              filled={filled}
              hint={sending.wrong(element.name)}
              onChange={change}
            />
          ))
        : null}
      <Button look="primary" type="submit" disabled={sending.busy} data-testid="answer-submit">
        {sending.busy ? "One moment…" : words.send}
      </Button>
    </form>
  );
}
