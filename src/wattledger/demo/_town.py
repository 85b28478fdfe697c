"""The town on paper: who lives where, how they pay, on which tariff. Pure: the same plan gives the same town."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from importlib import resources
from typing import Literal, NamedTuple

from wattledger.demo._noise import chance, pick, whole
from wattledger.kernel import Problem, epoch, zone_named
from wattledger.registry import PaymentMode
from wattledger.tariffs import Tariff, parse_tariff

Kind = Literal["home", "shop", "dormitory", "building_site", "cafe"]

ZONE = "Asia/Shanghai"
CURRENCY = "CNY"
SLOT_SECONDS = 900
"""The length of every meter's interval."""

HOMES_DEFAULT, DAYS_DEFAULT, SEED_DEFAULT = 200, 60, 1
_HOMES_MAX, _DAYS_MAX = 20_000, 400

# The last day of a hot month, before the evening peak: within a few minutes of watching, wallets run empty, people
# recharge, the month ends and its bills are made.
LIVE_DAY_DEFAULT = date(2026, 7, 31)
_LIVE_HOUR = 17

_PREPAY_SHARE = 0.65
_PUSH_BUTTON_SHARE = 0.06
_ENGLISH_SHARE = 0.3

HOME_TARIFF, SHOP_TARIFF = "linshui-home-tou", "linshui-commercial-tou"
SITE_TARIFF, DORMITORY_TARIFF = "linshui-site-flat", "linshui-dormitory"
_TARIFF_FILES = ("home-tou.yaml", "commercial-tou.yaml", "site-flat.yaml", "dormitory.yaml")


class PlanRefused(Problem):
    """A town cannot be planned with these figures."""

    slug = "town-plan-refused"
    title = "No town can be raised from these options"
    status = 422


@dataclass(frozen=True, slots=True)
class TownPlan:
    """All a town depends on.

    ``days`` whole days of history end with the midnight before ``live_day``; that day's afternoon is when it goes live.
    """

    seed: int = SEED_DEFAULT
    homes: int = HOMES_DEFAULT
    days: int = DAYS_DEFAULT
    live_day: date = LIVE_DAY_DEFAULT

    def __post_init__(self) -> None:
        if not 1 <= self.homes <= _HOMES_MAX:
            raise PlanRefused(f"a town of {self.homes} homes", remedy=f"choose --homes between 1 and {_HOMES_MAX}")
        if not 1 <= self.days <= _DAYS_MAX:
            raise PlanRefused(f"a history of {self.days} days", remedy=f"choose --days between 1 and {_DAYS_MAX}")

    @property
    def start(self) -> datetime:
        """When the first meter began to count: a local midnight."""
        return _local(self.live_day - timedelta(days=self.days), 0)

    @property
    def live_from(self) -> datetime:
        """Until when the history reaches."""
        return _local(self.live_day, _LIVE_HOUR)


def _local(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=zone_named(ZONE)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Supply:
    """One supplied place with everything that hangs on it.

    ``nature`` says how it uses energy (``home``, or the kind of shop); ``push_button`` meters close their disconnector
    only when somebody presses the button after a remote reconnect (DLMS class 70, control mode 3).
    """

    index: int
    tag: str
    kind: Kind
    nature: str
    name: str
    address: str
    language: str
    phone: str
    mode: PaymentMode
    tariff_id: str
    concentrator: int
    has_export: bool
    push_button: bool

    @property
    def premise_id(self) -> str:
        """The premise's id in the registry."""
        return f"p-{self.tag}"

    @property
    def service_point_id(self) -> str:
        """The service point's id in the registry."""
        return f"sp-{self.tag}"

    @property
    def meter_id(self) -> str:
        """The meter's id in the registry."""
        return f"m-{self.tag}"

    @property
    def account_id(self) -> str:
        """The account's id in the registry."""
        return f"a-{self.tag}"

    @property
    def contract_id(self) -> str:
        """The contract's id in the registry."""
        return f"c-{self.tag}"


@dataclass(frozen=True)
class Town:
    """The plan and the supplies that follow from it, homes first."""

    plan: TownPlan
    supplies: Sequence[Supply]

    @classmethod
    def of(cls, plan: TownPlan) -> Town:
        """The town that belongs to ``plan``."""
        homes = [_home(plan.seed, number) for number in range(plan.homes)]
        others = [_other(plan.seed, plan.homes + n, trade) for n, trade in enumerate(_TRADES)]
        return cls(plan=plan, supplies=(*homes, *others))

    @cached_property
    def by_meter(self) -> dict[str, Supply]:
        """The supplies by their meter's id."""
        return {supply.meter_id: supply for supply in self.supplies}

    @cached_property
    def by_contract(self) -> dict[str, Supply]:
        """The supplies by their contract's id."""
        return {supply.contract_id: supply for supply in self.supplies}

    @property
    def prepaid(self) -> list[Supply]:
        """The supplies that pay before."""
        return [supply for supply in self.supplies if supply.mode == "prepay"]

    def serial(self, supply: Supply) -> str:
        """What is printed on a supply's meter."""
        return f"WLT{whole(self.plan.seed, 'serial', low=1000, high=10_000)}{supply.index:06d}"


def town_tariffs() -> list[Tariff]:
    """The tariffs of the town, as shipped with the package."""
    folder = resources.files("wattledger.demo") / "tariffs"
    return [
        parse_tariff((folder / name).read_text(encoding="utf-8"), source=f"wattledger/demo/tariffs/{name}")
        for name in _TARIFF_FILES
    ]


def slot_floor(instant: datetime) -> int:
    """The epoch second at which the slot that contains ``instant`` began."""
    return epoch(instant) // SLOT_SECONDS * SLOT_SECONDS


# --- who lives here -------------------------------------------------------------------------------------------------

_SURNAMES = (
    *(("Li", "李"), ("Wang", "王"), ("Zhang", "张"), ("Liu", "刘"), ("Chen", "陈"), ("Yang", "杨"), ("Zhao", "赵")),
    *(("Huang", "黄"), ("Zhou", "周"), ("Wu", "吴"), ("Xu", "徐"), ("Sun", "孙"), ("Hu", "胡"), ("Zhu", "朱")),
    *(("Gao", "高"), ("Lin", "林"), ("He", "何"), ("Guo", "郭"), ("Ma", "马"), ("Luo", "罗"), ("Liang", "梁")),
    *(("Song", "宋"), ("Zheng", "郑"), ("Xie", "谢"), ("Han", "韩"), ("Tang", "唐"), ("Feng", "冯"), ("Shen", "沈")),
    ("Pan", "潘"),
)
_GIVEN = (
    *(("Na", "娜"), ("Wei", "伟"), ("Fang", "芳"), ("Min", "敏"), ("Jing", "静"), ("Lei", "磊"), ("Qiang", "强")),
    *(("Yan", "艳"), ("Jun", "军"), ("Jie", "杰"), ("Tao", "涛"), ("Ming", "明"), ("Chao", "超"), ("Xia", "霞")),
    *(("Ping", "平"), ("Gang", "刚"), ("Ying", "英"), ("Hua", "华"), ("Lan", "兰"), ("Yu", "雨"), ("Hao", "浩")),
    *(("Mei", "梅"), ("Ning", "宁"), ("Xin", "欣"), ("Bo", "波"), ("Yue", "月"), ("Kai", "凯"), ("Qing", "青")),
    *(("Xiaoyu", "晓雨"), ("Jiaqi", "佳琪"), ("Zihan", "子涵"), ("Haoran", "浩然"), ("Siyu", "思雨")),
    *(("Yuxuan", "宇轩"), ("Meiling", "美玲"), ("Jianguo", "建国"), ("Xiuying", "秀英")),
)
_STREETS = (
    ("Lotus Lane", "荷花弄"),
    ("Bridge Street", "桥头街"),
    ("Tea Hill Road", "茶山路"),
    ("Canal Side", "运河沿"),
)
"""One data concentrator collects the meters of one street."""


class _Trade(NamedTuple):
    kind: Kind
    nature: str
    tag: str
    english: str
    chinese: str
    street: int
    mode: PaymentMode
    tariff_id: str


_TRADES = (
    _Trade("shop", "grocery", "shop-01", "Lotus Corner Grocery", "荷角便利店", 0, "postpay", SHOP_TARIFF),
    _Trade("shop", "bakery", "shop-02", "Morning Bun Bakery", "晨光包子铺", 0, "postpay", SHOP_TARIFF),
    _Trade("shop", "noodles", "shop-03", "Bridge Noodles", "桥头面馆", 1, "prepay", SHOP_TARIFF),
    _Trade("shop", "hairdresser", "shop-04", "Silk Hair Salon", "丝雅理发店", 1, "prepay", SHOP_TARIFF),
    _Trade("shop", "pharmacy", "shop-05", "Linshui Pharmacy", "临水大药房", 1, "postpay", SHOP_TARIFF),
    _Trade("shop", "clothes", "shop-06", "Two Sisters Clothes", "两姐妹服装", 1, "postpay", SHOP_TARIFF),
    _Trade("shop", "fruit", "shop-07", "Tea Hill Fruit", "茶山水果行", 2, "prepay", SHOP_TARIFF),
    _Trade("shop", "hotpot", "shop-08", "Red Lantern Hotpot", "红灯笼火锅", 2, "postpay", SHOP_TARIFF),
    _Trade("shop", "repair", "shop-09", "Old Ma's Repairs", "老马维修", 2, "postpay", SHOP_TARIFF),
    _Trade("shop", "laundry", "shop-10", "Canal Laundry", "运河洗衣", 3, "postpay", SHOP_TARIFF),
    _Trade("shop", "teahouse", "shop-11", "Willow Teahouse", "杨柳茶馆", 3, "postpay", SHOP_TARIFF),
    _Trade("shop", "netcafe", "shop-12", "Night Owl Internet Café", "夜猫网吧", 3, "postpay", SHOP_TARIFF),
    _Trade(
        "dormitory", "dormitory", "dormitory-1", "Textile Mill Dormitory", "纺织厂宿舍", 2, "prepay", DORMITORY_TARIFF
    ),
    _Trade(
        "building_site", "building_site", "site-1", "Harbour View Building Site", "港景工地", 3, "prepay", SITE_TARIFF
    ),
    _Trade("cafe", "cafe", "cafe-1", "Sunny Side Café", "向阳咖啡馆", 3, "postpay", SHOP_TARIFF),
)
_EXPORTING = frozenset({"cafe"})


def _home(seed: int, number: int) -> Supply:
    street = whole(seed, "street", number, low=0, high=len(_STREETS))
    english, chinese = _STREETS[street]
    building = whole(seed, "building", number, low=1, high=24)
    room = whole(seed, "floor", number, low=1, high=7) * 100 + whole(seed, "room", number, low=1, high=5)
    mode: PaymentMode = "prepay" if chance(seed, "mode", number) < _PREPAY_SHARE else "postpay"
    return Supply(
        index=number,
        tag=f"home-{number + 1:03d}",
        kind="home",
        nature="home",
        name=_person(seed, number),
        address=f"Flat {room}, {building} {english}, Linshui · 临水{chinese}{building}幢{room}室",
        language="en" if chance(seed, "language", number) < _ENGLISH_SHARE else "zh",
        phone=_phone(number),
        mode=mode,
        tariff_id=HOME_TARIFF,
        concentrator=street,
        has_export=False,
        push_button=mode == "prepay" and chance(seed, "push-button", number) < _PUSH_BUTTON_SHARE,
    )


def _person(seed: int, number: int) -> str:
    """A name for home ``number``; no two alike before the names run out, then with a numeral."""
    many = len(_SURNAMES) * len(_GIVEN)
    # A step that shares no factor with ``many`` visits every pair of names once before it comes back to the first.
    step = next(s for s in range(whole(seed, "name-step", low=many // 3, high=many), 2 * many) if _coprime(s, many))
    place = (whole(seed, "name-first", low=0, high=many) + number * step) % many
    surname, given = _SURNAMES[place % len(_SURNAMES)], _GIVEN[place // len(_SURNAMES)]
    again = f" {number // many + 1}" if number >= many else ""
    return f"{surname[0]} {given[0]} {surname[1]}{given[1]}{again}"


def _coprime(a: int, b: int) -> bool:
    while b:
        a, b = b, a % b
    return a == 1


def _phone(index: int) -> str:
    """A number nobody has: no Chinese subscriber's number begins with 00 after the country's."""
    return f"+86 0000 {index // 10_000:03d} {index % 10_000:04d}"


def _other(seed: int, index: int, trade: _Trade) -> Supply:
    road, road_chinese = _STREETS[trade.street]
    number = 2 + 2 * whole(seed, f"number/{trade.tag}", low=0, high=40)
    return Supply(
        index=index,
        tag=trade.tag,
        kind=trade.kind,
        nature=trade.nature,
        name=f"{trade.english} {trade.chinese}",
        address=f"{number} {road}, Linshui · 临水{road_chinese}{number}号",
        language=pick(seed, f"language/{trade.tag}", among=("zh", "zh", "en")),
        phone=_phone(index),
        mode=trade.mode,
        tariff_id=trade.tariff_id,
        concentrator=trade.street,
        has_export=trade.nature in _EXPORTING,
        push_button=False,
    )


CONCENTRATORS = len(_STREETS)
"""How many concentrators the town's meters hang on."""
