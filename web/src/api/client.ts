/** The API as our OpenAPI document describes it: every call is typed from `schema.ts`, which is generated. */

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type ContractSummary = Schemas["ContractSummary"];
export type HomeView = Schemas["HomeView"];
export type BalanceView = Schemas["BalanceView"];
export type BillSoFar = Schemas["BillSoFar"];
export type SupplyView = Schemas["SupplyView"];
export type SupplyState = SupplyView["state"];
export type PriceSpan = Schemas["PriceSpan"];
export type IntervalView = Schemas["IntervalView"];
export type TodayView = Schemas["TodayView"];
export type RechargeView = Schemas["RechargeView"];
export type OverviewView = Schemas["OverviewView"];
export type EventView = Schemas["EventView"];
export type BillRunView = Schemas["BillRunView"];
export type ArrivalPoint = Schemas["ArrivalPoint"];

export const api = createClient<paths>();

/** Why a call brought nothing: a problem document (RFC 9457), or no answer at all (`status` 0). */
export interface Failure {
  status: number;
  title: string | null;
  detail: string | null;
  remedy: string | null;
}

export type Outcome<T> = { data: T } | { failure: Failure };

const NO_ANSWER: Failure = { status: 0, title: null, detail: null, remedy: null };

/** Runs one call of `api` and tells what came of it; never throws. */
export async function outcome<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<Outcome<T>> {
  try {
    const { data, error, response } = await call;
    if (response.ok && data !== undefined) return { data };
    return { failure: failureOf(response.status, error) };
  } catch {
    return { failure: NO_ANSWER };
  }
}

function failureOf(status: number, body: unknown): Failure {
  const said: Record<string, unknown> = typeof body === "object" && body !== null ? { ...body } : {};
  const text = (name: string): string | null => {
    const value = said[name];
    return typeof value === "string" && value !== "" ? value : null;
  };
  return { status, title: text("title"), detail: text("detail"), remedy: text("remedy") };
}
