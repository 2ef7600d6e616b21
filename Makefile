# Everything is in ./dev; this forwards to it.
COMMANDS := up down status check bench build fmt lint install help
.PHONY: $(COMMANDS)
.DEFAULT_GOAL := help
$(COMMANDS):
	@./dev $@ $(ARGS)
