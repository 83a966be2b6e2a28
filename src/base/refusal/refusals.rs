//! Every way to say no: its status, stable code and headers. The words are in
//! [`crate::base::refusal::words`], the JSON in [`crate::base::refusal::shape`].

use crate::base::clock::Moment;
use crate::base::pax::Pax;
use crate::base::refusal::request_error::RequestError;
use crate::base::refusal::unready::Unready;
use crate::base::refusal::wrong_path::WrongPath;

/// A refusal, in OpenAI's error shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request names a host that the gateway does not answer to.
    UnknownHost,
    /// No such path.
    UnknownRoute(WrongPath),
    /// The path takes another method.
    MethodNotAllowed {
        /// The one it takes.
        allow: &'static str,
    },
    /// A header that is sent twice or cannot be read.
    InvalidHeader {
        /// Its name.
        name: String,
    },
    /// `X-Matrix-Slot` names no slot.
    InvalidSlot,
    /// The caller wants to use its own provider key, but one of the two headers for it is missing, or the key
    /// is empty.
    ByoMissingKey,
    /// No token, or one that no account has.
    InvalidApiKey,
    /// The account was switched off.
    AccountDisabled,
    /// The body is refused.
    Body(RequestError),
    /// The card in force does not price the model.
    ModelNotFound {
        /// The model asked for.
        model: String,
        /// Whether the caller brought a provider key of its own. Then the model needs no price, but a known
        /// provider.
        own_key: bool,
        /// The models that this caller may use and whose names are nearest, nearest first.
        near: Vec<String>,
    },
    /// The card in force prices the model for another route.
    ModelOfAnotherRoute {
        /// The model asked for.
        model: String,
        /// That route's path.
        path: &'static str,
    },
    /// The card in force prices the model, but the configuration does not have its provider.
    ProviderNotConfigured {
        /// The model asked for.
        model: String,
        /// Its provider.
        provider: String,
    },
    /// The model's provider is not served on platform funding: the platform has no key for it.
    NoPlatformKey {
        /// The model asked for.
        model: String,
        /// Its provider.
        provider: String,
        /// Whether the provider takes a key of the caller's own.
        own_keys: bool,
    },
    /// The free tier's whitelist of the slot does not have the model.
    ModelNotAllowed {
        /// The model asked for.
        model: String,
        /// The slot.
        slot: String,
        /// Whether the model's provider takes a key of the caller's own.
        own_keys: bool,
    },
    /// The model's provider takes no key of the caller's own.
    OwnKeyNotTaken {
        /// The model asked for.
        model: String,
    },
    /// The most that the call can cost does not fit what is left of the account's daily cap.
    DailyCapExceeded {
        /// What was spent today.
        spent: Pax,
        /// What calls in flight have reserved.
        reserved: Pax,
        /// The most that this call can cost.
        needed: Pax,
        /// The cap.
        limit: Pax,
        /// When the next UTC day begins.
        resets_at: Moment,
        /// Whether the model's provider takes a key of the caller's own.
        own_keys: bool,
        /// How the call itself could cost less.
        less: CostLess,
    },
    /// The most that the call can cost does not fit what the account's balance has left.
    InsufficientCredit {
        /// The balance.
        balance: Pax,
        /// What calls in flight have set aside of it.
        held: Pax,
        /// The most that this call can cost.
        needed: Pax,
        /// Whether the model's provider takes a key of the caller's own.
        own_keys: bool,
        /// How the call itself could cost less.
        less: CostLess,
    },
    /// The provider refused the platform's own key.
    ProviderRefusedPlatformKey,
    /// The provider sent something that is no answer to the call, such as another protocol.
    UpstreamFailed,
    /// The body is larger than the gateway takes.
    RequestTooLarge {
        /// The most it takes.
        limit_bytes: u64,
    },
    /// The body is compressed.
    UnsupportedEncoding,
    /// Open request bodies take all the memory that they may.
    TooManyBytesOpen {
        /// Whether the account's own bodies take all that one account may.
        own: bool,
    },
    /// The ledger does not answer, or does not keep up.
    LedgerUnavailable,
    /// The filter does not know yet whose token it is, and the bodies of such calls take all the memory that
    /// they may.
    TooManyStrangers,
    /// No card is in force, or the filter is not configured.
    GatewayDisabled,
    /// Envoy keeps requests' bodies from the filter: [`crate::worker::body_watch`].
    BodiesKeptBack,
    /// `/readyz`: no calls can be served.
    NotReady(Unready),
}

/// How a call could cost less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostLess {
    /// By stating a maximum of output: it states none.
    StateMaximum,
    /// By stating a lower maximum than it does.
    LowerMaximum,
    /// By sending less input: the input alone costs too much.
    SendLess,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidHeader { .. } | Self::InvalidSlot | Self::ByoMissingKey | Self::Body(_) => 400,
            Self::InvalidApiKey => 401,
            Self::InsufficientCredit { .. } => 402,
            Self::AccountDisabled
            | Self::ModelNotAllowed { .. }
            | Self::OwnKeyNotTaken { .. }
            | Self::NoPlatformKey { own_keys: true, .. } => 403,
            Self::UnknownRoute(_)
            | Self::ModelNotFound { .. }
            | Self::ModelOfAnotherRoute { .. }
            | Self::ProviderNotConfigured { .. }
            | Self::NoPlatformKey { own_keys: false, .. } => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::UnknownHost => 421,
            Self::RequestTooLarge { .. } => 413,
            Self::UnsupportedEncoding => 415,
            Self::DailyCapExceeded { .. } | Self::TooManyBytesOpen { .. } => 429,
            Self::ProviderRefusedPlatformKey | Self::UpstreamFailed => 502,
            Self::LedgerUnavailable
            | Self::TooManyStrangers
            | Self::GatewayDisabled
            | Self::BodiesKeptBack
            | Self::NotReady(_) => 503,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown_host",
            Self::UnknownRoute(_) => "unknown_route",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::ByoMissingKey => "byo_missing_key",
            Self::InvalidSlot => "invalid_slot",
            Self::InvalidApiKey => "invalid_api_key",
            Self::AccountDisabled => "account_disabled",
            Self::Body(RequestError::MissingModel) => "missing_model",
            Self::Body(RequestError::Unpriced { .. }) => "unpriced_option",
            Self::Body(_) => "invalid_json",
            // Nobody can call the model here: a key of the caller's own would not help either.
            Self::ModelNotFound { .. }
            | Self::ModelOfAnotherRoute { .. }
            | Self::ProviderNotConfigured { .. }
            | Self::NoPlatformKey { own_keys: false, .. } => "model_not_found",
            // The caller may use the model in another way: with a key of its own, or without.
            Self::ModelNotAllowed { .. }
            | Self::OwnKeyNotTaken { .. }
            | Self::NoPlatformKey { own_keys: true, .. } => "model_not_allowed",
            Self::DailyCapExceeded { .. } => "daily_cap_exceeded",
            Self::InsufficientCredit { .. } => "insufficient_credit",
            Self::ProviderRefusedPlatformKey => "provider_refused_platform_key",
            Self::UpstreamFailed => "upstream_failed",
            Self::RequestTooLarge { .. } => "request_too_large",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::TooManyBytesOpen { .. } => "too_many_bytes_open",
            Self::LedgerUnavailable
            | Self::TooManyStrangers
            | Self::NotReady(Unready::LedgerSilent | Unready::OutboxFull) => "ledger_unavailable",
            Self::GatewayDisabled
            | Self::BodiesKeptBack
            | Self::NotReady(Unready::Disabled | Unready::NoCard) => "gateway_disabled",
        }
    }

    /// The answer's headers beside its type: whether to try again, and how.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            // The ledger may be back in a moment: the SDK's own retry is welcome.
            Self::LedgerUnavailable | Self::GatewayDisabled | Self::BodiesKeptBack | Self::NotReady(_) => {
                vec![("retry-after", "2")]
            }
            // The filter is asking whose token it is, or open bodies end soon: the caller may try again.
            Self::TooManyStrangers | Self::TooManyBytesOpen { .. } => vec![("retry-after", "1")],
            // Calls in flight cost less than what is set aside for them: this one may fit when they end.
            Self::DailyCapExceeded { spent, needed, limit, .. } if fits(*spent, *needed, *limit) => {
                vec![("retry-after", "1")]
            }
            Self::InsufficientCredit { balance, needed, .. } if needed <= balance => {
                vec![("retry-after", "1")]
            }
            Self::MethodNotAllowed { allow } => vec![("allow", *allow), ("x-should-retry", "false")],
            _ => vec![("x-should-retry", "false")],
        }
    }
}

/// Whether a call would fit a cap if calls in flight had reserved nothing.
pub(crate) fn fits(spent: Pax, needed: Pax, limit: Pax) -> bool {
    spent.checked_add(needed).is_some_and(|sum| sum <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        for refusal in [Refusal::LedgerUnavailable, Refusal::GatewayDisabled, Refusal::BodiesKeptBack] {
            assert_eq!((refusal.status(), refusal.headers()), (503, vec![("retry-after", "2")]));
        }
        for refusal in [Refusal::TooManyStrangers, Refusal::TooManyBytesOpen { own: true }] {
            assert_eq!(refusal.headers(), [("retry-after", "1")]);
        }
        assert_eq!(Refusal::InvalidApiKey.headers(), [("x-should-retry", "false")]);
        let exceeded = |spent, reserved| {
            let [spent, reserved, needed, limit] = [spent, reserved, 2, 10].map(Pax::from_picopax);
            let (resets_at, own_keys, less) = (Moment::default(), true, CostLess::LowerMaximum);
            Refusal::DailyCapExceeded { spent, reserved, needed, limit, resets_at, own_keys, less }
        };
        assert_eq!(exceeded(9, 0).headers(), [("x-should-retry", "false")]);
        assert_eq!(exceeded(8, 1).headers(), [("retry-after", "1")], "what is reserved may come back");
    }
}
