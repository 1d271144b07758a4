"""The engine: steps, their ids, the plan, the content store and the run. It knows nothing of packages, sandboxes
or terminals; what it needs from them comes in as protocols. Imports only `errors`."""
