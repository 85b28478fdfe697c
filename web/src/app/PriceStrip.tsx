import { VisuallyHidden } from "@mantine/core";
import { cheapest, levelOf, periodName, type Block, type Level } from "../periods";
import { Icon } from "../ui/Icon";
import { Card, PeriodChip, levelClass } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./PriceStrip.module.css";

interface StripProps {
  blocks: readonly Block[];
  known: ReadonlyMap<string, Level>;
  zone: string;
  currency: string;
}

/** The next 24 hours as blocks as wide as they last and as high as they cost. */
export function PriceStrip({ blocks, known, zone, currency }: StripProps) {
  const { words, show } = useSpeech();
  const least = cheapest(blocks);
  const name = (block: Block): string => periodName(block.period, words.periods);
  const saidCheapest = (block: Block): string => {
    if (block.from === 0) return words.strip.cheapestNow(show.time(block.end, zone));
    const clipped = block === blocks.at(-1); // the prices known end there, not the block
    return clipped
      ? words.strip.cheapestFrom(show.time(block.start, zone))
      : words.strip.cheapest(show.time(block.start, zone), show.time(block.end, zone));
  };
  const distinct = [...new Map(blocks.map((block) => [`${block.period} ${block.price}`, block])).values()];
  return (
    <Card
      title={words.strip.title}
      aside={least === null ? words.strip.steady : saidCheapest(least)}
      className={classes.place}
    >
      <div aria-hidden="true">
        <div className={classes.strip}>
          {blocks.map((block) => {
            const level = levelOf(block.period, known);
            return (
              <div
                key={block.start}
                className={`${classes.block ?? ""} ${classes[level] ?? ""} ${levelClass(level)}`}
                style={{ flex: `${block.width} 1 0`, height: `${44 + 56 * block.height}%` }}
              >
                <span className={classes.tag}>
                  <Icon name={level} size={15} />
                  <b>{name(block)}</b>
                  <i>{show.price(block.price, currency)}</i>
                </span>
              </div>
            );
          })}
        </div>
        <div className={classes.axis}>
          {blocks.map(
            (block, index) =>
              block.label !== "never" && (
                <span key={block.start} data-label={block.label} style={{ left: `${block.from * 100}%` }}>
                  {index === 0 ? words.strip.now : show.time(block.start, zone)}
                </span>
              ),
          )}
        </div>
      </div>
      <VisuallyHidden>
        <ol>
          {blocks.map((block) => (
            <li key={block.start}>
              {words.strip.item(
                show.dayTime(block.start, zone),
                show.dayTime(block.end, zone),
                name(block),
                show.price(block.price, currency),
              )}
            </li>
          ))}
        </ol>
      </VisuallyHidden>
      <ul className={classes.legend}>
        {distinct.map((block) => (
          <li key={`${block.period} ${block.price}`}>
            <PeriodChip name={name(block)} level={levelOf(block.period, known)} />
            {words.now.perKwh(show.price(block.price, currency))}
          </li>
        ))}
      </ul>
    </Card>
  );
}
