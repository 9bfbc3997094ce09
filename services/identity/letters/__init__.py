"""Letters to accounts, on behalf of services that know no addresses."""
