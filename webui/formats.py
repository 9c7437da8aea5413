"""Template filters for names, ages, dates and probabilities."""

from datetime import date, datetime

from flask import Flask

from dicom.terms.classification import format_probability


def person_name(value: str) -> str:
    """Format a PN as "Family, Given Middle": its first group that is not empty (PS3.5 6.2.1.1)."""
    groups = value.split("=")
    chosen = next((group for group in groups if group.strip("^ ")), "")
    family, _, rest = chosen.partition("^")
    given = " ".join(part for part in rest.split("^")[:2] if part.strip())
    return ", ".join(part for part in (family.strip(), given.strip()) if part)


def dicom_date(value: str) -> str:
    """Format a DA (YYYYMMDD) as 2026-11-20; return any other text unchanged."""
    if len(value) != 8 or not value.isdigit():
        return value
    return f"{value[:4]}-{value[4:6]}-{value[6:]}"


def age_years(birth: str, on: str) -> int | None:
    """Return the whole years between two DA values; None unless both are dates in this order."""
    born, then = _parse_date(birth), _parse_date(on)
    if born is None or then is None or then < born:
        return None
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))


def age_sex(birth: str, sex: str, on: str) -> str:
    """Format age and sex as "58 y F"; leave out what is unknown."""
    age = age_years(birth, on)
    return " ".join(part for part in (f"{age} y" if age is not None else "", sex) if part)


def percent(value: float | None) -> str:
    """Format a probability; nothing for None."""
    return "" if value is None else format_probability(value)


def clock(value: datetime | None) -> str:
    """Format a time to the minute, in the time zone of the server."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M") if value else ""


def seconds(value: datetime | None) -> str:
    """Format a time to the second, in the time zone of the server."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else ""


def install(app: Flask) -> None:
    filters = (person_name, dicom_date, age_sex, percent, clock, seconds)
    app.jinja_env.filters.update({function.__name__: function for function in filters})
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def _parse_date(value: str) -> date | None:
    try:
        return datetime.strptime(value, "%Y%m%d").date()  # noqa: DTZ007  a DA has no time zone
    except ValueError:
        return None
