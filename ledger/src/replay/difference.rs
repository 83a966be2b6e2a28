//! What a replay tells of: something that is not as it was recorded.

use std::fmt;

/// What a difference is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One entry.
    Entry {
        /// The value of its column.
        exchange_id: String,
        /// The value of its column.
        account: String,
        /// Its number in the account.
        account_seq: i64,
    },
    /// An account's head, balance, day totals or state.
    Account(String),
    /// A token's state.
    Token(String),
    /// One hold.
    Hold {
        /// The value of its column.
        exchange_id: String,
        /// The value of its column.
        account: String,
    },
    /// One row of the operator log.
    OperatorRow {
        /// Its number.
        seq: i64,
        /// The value of its column.
        action: String,
    },
    /// The file as a whole.
    Database,
}

/// Something that is not as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub subject: Subject,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Entry { exchange_id, account, account_seq } => {
                write!(f, "entry {exchange_id} (account {account}, number {account_seq}): {}", self.what)
            }
            Subject::Account(account) => write!(f, "account {account}: {}", self.what),
            Subject::Hold { exchange_id, account } => {
                write!(f, "hold {exchange_id} (account {account}): {}", self.what)
            }
            Subject::Token(token_id) => write!(f, "token {token_id}: {}", self.what),
            Subject::OperatorRow { seq, action } => {
                write!(f, "operator log, row {seq} ({action}): {}", self.what)
            }
            Subject::Database => write!(f, "database: {}", self.what),
        }
    }
}
