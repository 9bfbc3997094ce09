// What people are told about where a notice stands, and how they can answer.

import { NoticeAnswerKind, NoticeState } from "@gen/reelmesh/compliance/v1/notices_pb";

const STATES: Readonly<Record<NoticeState, string>> = {
  [NoticeState.UNSPECIFIED]: "",
  [NoticeState.RECEIVED]: "The notice was received and waits for a decision.",
  [NoticeState.TAKEN_DOWN]: "The material was taken down.",
  [NoticeState.RESTRICTED]: "The material is not shown in some countries.",
  [NoticeState.REJECTED]: "The notice was looked at, and the material stays as it is.",
  [NoticeState.COUNTERED]:
    "The uploader sent a counter-notice. The material comes back, unless whoever gave the notice goes to court.",
  [NoticeState.SUIT_NOTICED]: "Whoever gave the notice went to court. The material stays down until it has decided.",
  [NoticeState.APPEALED]: "Somebody else looks at the decision again. Until then it stands.",
  [NoticeState.RESTORED]: "The material is shown again.",
  [NoticeState.WITHDRAWN]: "The notice was taken back.",
};

/** Where a notice stands, in a sentence. */
export function stateWords(state: NoticeState): string {
  return STATES[state];
}

interface AnswerWords {
  readonly begin: string;
  readonly help: string;
  /** What is asked for; empty when nothing is. */
  readonly explains: string;
  readonly send: string;
}

/** How a party can answer. */
export const ANSWERS: Readonly<Record<NoticeAnswerKind, AnswerWords>> = {
  [NoticeAnswerKind.UNSPECIFIED]: { begin: "", help: "", explains: "", send: "" },
  [NoticeAnswerKind.COUNTER_NOTICE]: {
    begin: "Send a counter-notice",
    help: "It goes to whoever gave the notice, with your name and address. The material comes back after ten business days, unless they go to court.",
    explains: "Why it was removed by mistake",
    send: "Send the counter-notice",
  },
  [NoticeAnswerKind.APPEAL]: {
    begin: "Complain about the decision",
    help: "Somebody else than who decided looks at it again. It costs nothing.",
    explains: "Why the decision is wrong",
    send: "Send the complaint",
  },
  [NoticeAnswerKind.SUIT]: {
    begin: "Tell us of a suit",
    help: "The material stays down if you went to court against whoever uploaded it.",
    explains: "The court, and the number of the suit",
    send: "Tell of the suit",
  },
  [NoticeAnswerKind.WITHDRAWAL]: {
    begin: "Take the notice back",
    help: "What was restricted after it is shown again. This cannot be undone; you can give another notice.",
    explains: "",
    send: "Take it back",
  },
};
