defmodule Exosuit.Control.Api do
  @moduledoc """
  Exosuit's own commands over the lattice: those about applications, with the names, arguments and answers that they
  have on the control socket (`guides/control-socket.md`).

  A request to `exosuit.api.<lattice>.<command>` has the arguments as a JSON object. The reply is `{"ok": …}` or
  `{"error": {"code": …, "detail": …, "diagnostics": […]}}`. One host of the lattice answers.
  """
  @behaviour Exosuit.Control.Generation

  alias Exosuit.Control.{Command, Generation, Reply}
  alias Exosuit.Error

  @impl Generation
  def prefix(_topic_prefix, lattice), do: "exosuit.api.#{lattice}"

  @impl Generation
  def subscriptions(_host_id), do: [{"app.*", :one}]

  @impl Generation
  def parse(["app", verb], body), do: Command.parse("app." <> verb, body || %{})

  def parse(tokens, _body) do
    subject = tokens |> Enum.join(".") |> inspect(printable_limit: 200)
    {:error, Error.new(:unknown_operation, "unsupported subject: #{subject}")}
  end

  @impl Generation
  def at_once?(%Command{}), do: false

  @impl Generation
  def reply(_name, result), do: Reply.body(result)
end
