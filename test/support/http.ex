defmodule Exosuit.Http do
  @moduledoc """
  An HTTP/1.1 client for tests, on a plain socket: what is sent is what the test says.
  """

  @timeout 30_000

  @doc "A connection to a port of this machine."
  @spec connect(:inet.port_number()) :: {:ok, :gen_tcp.socket()} | {:error, :inet.posix()}
  def connect(port) do
    options = [:binary, active: false, packet: :http_bin, nodelay: true]
    :gen_tcp.connect({127, 0, 0, 1}, port, options, @timeout)
  end

  @doc "One request over a connection of its own: `{status, body}`, or `{:error, reason}`."
  @spec request(:inet.port_number(), String.t(), String.t(), iodata()) ::
          {pos_integer(), binary()} | {:error, term()}
  def request(port, method, path, body \\ "") do
    with {:ok, socket} <- connect(port) do
      answer = exchange(socket, method, path, body)
      :gen_tcp.close(socket)
      answer
    end
  end

  @doc "A request over a connection that stays open."
  @spec exchange(:gen_tcp.socket(), String.t(), String.t(), iodata()) ::
          {pos_integer(), binary()} | {:error, term()}
  def exchange(socket, method, path, body \\ "") do
    head =
      "#{method} #{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: #{IO.iodata_length(body)}\r\n\r\n"

    with :ok <- :gen_tcp.send(socket, [head, body]), do: response(socket)
  end

  defp response(socket) do
    with :ok <- :inet.setopts(socket, packet: :http_bin),
         {:ok, {:http_response, _version, status, _reason}} <- :gen_tcp.recv(socket, 0, @timeout),
         {:ok, length} <- content_length(socket, 0),
         :ok <- :inet.setopts(socket, packet: :raw),
         {:ok, body} <- body(socket, length),
         do: {status, body}
  end

  defp content_length(socket, length) do
    case :gen_tcp.recv(socket, 0, @timeout) do
      {:ok, {:http_header, _, :"Content-Length", _, value}} ->
        content_length(socket, String.to_integer(value))

      {:ok, {:http_header, _, _name, _, _value}} ->
        content_length(socket, length)

      {:ok, :http_eoh} ->
        {:ok, length}

      {:error, reason} ->
        {:error, reason}
    end
  end

  defp body(_socket, 0), do: {:ok, ""}
  defp body(socket, length), do: :gen_tcp.recv(socket, length, @timeout)
end
