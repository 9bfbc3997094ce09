"""`TokensService`: makes other credentials than tickets, and judges requests for edges that are not ours."""
