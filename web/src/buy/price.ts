import type { Money } from "@gen/reelmesh/payments/v1/payments_pb";

/** Decimals of crypto assets, which no browser knows. */
const CRYPTO: Readonly<Record<string, number>> = { BTC: 8, ETH: 8, LTC: 8, USDC: 6, USDT: 6 };

/** A price as people read it, in their own language. */
export function priceText(money: Pick<Money, "minorUnits" | "currency">, language?: string): string {
  const { minorUnits, currency } = money;
  const decimals = CRYPTO[currency];
  if (decimals !== undefined) return `${String(Number(minorUnits) / 10 ** decimals)} ${currency}`;
  const format = new Intl.NumberFormat(language, { style: "currency", currency });
  return format.format(Number(minorUnits) / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** The territory that the browser's language suggests, as ISO 3166-1 writes it. What is bought is good where the offer says. */
export function territoryOf(language: string): string {
  try {
    return new Intl.Locale(language).maximize().region ?? "US";
  } catch {
    return "US";
  }
}
