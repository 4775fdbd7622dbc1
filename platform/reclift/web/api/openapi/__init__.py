"""The contract in OpenAPI 3.1: what each route takes and answers, written beside the routes and tested against them."""
