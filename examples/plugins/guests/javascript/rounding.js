// A plugin in JavaScript: rounds prices in francs to five centimes, as cash needs it, and says so in the order's note.
// Its store has the number of orders that it has changed.
import { write } from "shop:plugins/log@1.0.0";
import { open } from "wasi:keyvalue/store@0.2.0-draft";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft";

const rounded = (price) => Math.round(price * 20) / 20;

export function transform(order) {
  if (order.currency !== "chf") return order;
  // A thrown value becomes the error of the result, if it has the type of that error.
  if (order.lines.some((line) => line.unitPrice < 0)) throw "a price is negative";

  const number = increment(open("default"), "rounded", 1n);
  write("info", `order ${order.id} is number ${number} in francs`);

  const lines = order.lines.map((line) => ({ ...line, unitPrice: rounded(line.unitPrice) }));
  return { ...order, lines, note: order.note ?? "rounded to five centimes" };
}
