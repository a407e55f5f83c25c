defmodule Embed.HostTest do
  # Not async: it kills the host of the app.
  use Exosuit.Case

  test "the app's host runs what its manifest says, also when it was killed" do
    assert {:ok, "Welcome, Ada!"} = visit()
    host = host()
    Process.exit(host, :kill)

    eventually(fn -> host() not in [nil, host] and visit() == {:ok, "Welcome, Ada!"} end)
    assert %{actors: [%{status: :running}], links: [_link]} = Exosuit.inventory(Embed.Host)
  end

  # While its supervisor starts it, it has no process.
  defp host do
    [{Embed.Host, pid, :supervisor, _modules}] = Supervisor.which_children(Embed.Supervisor)
    if is_pid(pid), do: pid
  end

  defp visit do
    Exosuit.call(Embed.Host, "visitor", "Visitor.Visit", "Ada")
  rescue
    # For a moment there is no such host.
    error in ArgumentError -> {:error, error}
  end
end
