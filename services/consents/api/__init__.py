"""HTTP routes: translate the request, call one use case, translate the answer."""
