// What refusals about messages to people mean.

import type { ErrorReason as NotificationsReason } from "@gen/reelmesh/notifications/v1/notifications_pb";

import type { Words } from "./words";

const SEND_AGAIN = "Ask for the message again. If it does not come, tell whoever runs this platform.";

/** Reasons of `notifications.reelmesh`. They stay among the services, and are told here should one get out. */
export const notifications: Readonly<Record<Exclude<keyof typeof NotificationsReason, "UNSPECIFIED">, Words>> = {
  TEMPLATE_UNKNOWN: { title: "The message could not be written", advice: "Tell whoever runs this platform." },
  PARAMETER_INVALID: { title: "The message could not be filled in", advice: "Tell whoever runs this platform." },
  ADDRESS_INVALID: { title: "Nobody can be written to there", advice: "Check the address or number." },
  ADDRESS_REFUSED: { title: "The message could not be delivered", advice: "Use another address or number." },
  PROVIDER_REFUSED: { title: "No messages can be sent at the moment", advice: "Tell whoever runs this platform." },
  PROVIDER_UNAVAILABLE: { title: "Messages are delayed", advice: "Wait a few minutes. It is sent by itself." },
  OUTCOME_UNKNOWN: { title: "The message may not have been sent", advice: SEND_AGAIN },
  DELIVERY_UNDER_WAY: { title: "The message is being sent", advice: "Wait a moment." },
};
