//! Values of columns that several questions have.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;

use crate::book::Sum;
use crate::store::sql::Row;

pub(in crate::store) fn read_tier(text: &str) -> Result<Tier, sqlx::Error> {
    match text {
        "free" => Ok(Tier::Free),
        "credit" => Ok(Tier::Credit),
        other => Err(sqlx::Error::Decode(format!("{other:?} is no tier").into())),
    }
}

pub(in crate::store) fn read_status(text: &str) -> Result<Status, sqlx::Error> {
    match text {
        "active" => Ok(Status::Active),
        "disabled" => Ok(Status::Disabled),
        other => Err(sqlx::Error::Decode(format!("{other:?} is no status").into())),
    }
}

/// A sum, from its two columns; zero if the columns are NULL.
pub(in crate::store) fn sum(row: &Row, name: &str) -> Result<Sum, sqlx::Error> {
    let column = |unit| row.try_get::<Option<i64>>(format!("{name}_{unit}").as_str());
    Ok(Sum::of_columns(column("carry")?.unwrap_or(0), column("picopax")?.unwrap_or(0)))
}

/// An amount; none if the column is NULL.
pub(in crate::store) fn pax(row: &Row, column: &str) -> Result<Option<Pax>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>>(column)?.map(Pax::from_picopax))
}

/// A moment is never later than the year 9999, so its milliseconds fit.
pub(in crate::store) fn to_ms(moment: Moment) -> i64 {
    i64::try_from(moment.ms()).unwrap_or(i64::MAX)
}

pub(in crate::store) fn from_ms(ms: i64) -> Moment {
    Moment::from_ms(u64::try_from(ms).unwrap_or(0))
}
